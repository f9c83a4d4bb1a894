"""Errors over HTTP: problem documents (RFC 9457), one named type for each thing that goes wrong.

They repeat no value that was sent and tell nothing of our insides; the log has the rest, under the
same request id.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException as AnyHTTPException

from trending_shared.errors import Unavailable

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = 2  # seconds; about the time a model takes to load or a broker to come back
_MAX_ERRORS, _MAX_POINTER = 10, 64
_TITLES = {
    400: "The request can't be read",
    401: "A key is needed",
    403: "The key isn't for this",
    404: "There is no such thing",
    405: "This can't be done here",
    409: "This doesn't fit what there is",
    412: "It was changed meanwhile",
    413: "The request is too large",
    415: "Requests are JSON",
    422: "The request isn't what was asked for",
    428: "Say what this is to replace",
    429: "That is more than your share",
    500: "Something broke on our side",
    503: "This can't be answered now",
}
_KINDS = {400: "body-unreadable", 404: "not-found", 405: "method-not-allowed"}
# What pydantic calls a failed check, and what we call it.
_CHECKS = {
    "json_invalid": ("json-invalid", 422),
    "string_too_long": ("text-too-long", 413),
    "string_too_short": ("text-empty", 422),
    "too_long": ("too-many-items", 413),
    "too_short": ("no-items", 422),
}
_UNAVAILABLE = {
    "BrokerUnavailable": "Kafka didn't answer in time",
    "ExperimentUnreadable": "a document of the experiment can't be read",
    "ModelNotFound": "no model is in service yet",
    "Overloaded": "too many requests are waiting",
    "StoreUnavailable": "the store didn't answer",
    "TooManyFollowers": "as many jobs are followed as this process can",
}


class FieldProblem(BaseModel):
    """One thing that is wrong with a request, and where."""

    pointer: str = Field(examples=["body/items/0/text"])
    detail: str = Field(examples=["String should have at least 1 character"])


class ProblemDocument(BaseModel):
    """An error as RFC 9457 has it; programs look at `type`, people at `detail`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:trending:problem:text-empty",
                "title": _TITLES[422],
                "status": 422,
                "detail": "String should have at least 1 character",
                "request_id": "0b6f2d58-4f0a-4c53-9f0b-5d6f3f1f7c11",
                "errors": [
                    {
                        "pointer": "body/items/0/text",
                        "detail": "String should have at least 1 character",
                    }
                ],
            }
        }
    )

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[FieldProblem] | None = None


class Problem(HTTPException):
    """An answer other than the one hoped for; `kind` names it for programs."""

    def __init__(
        self, status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, headers)
        self.kind = kind


def problem_response(
    status: int,
    kind: str,
    detail: str,
    *,
    request_id: str | None,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[FieldProblem] = (),
) -> Response:
    document: dict[str, Any] = {
        "type": f"urn:trending:problem:{kind}",
        "title": _TITLES.get(status, "The request failed"),
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    if errors:
        document["errors"] = [error.model_dump() for error in errors]
    usual = {"Cache-Control": "no-store"}
    if status == 503:
        usual["Retry-After"] = str(RETRY_AFTER)
    return Response(
        orjson.dumps(document), status, headers={**usual, **(headers or {})}, media_type=MEDIA_TYPE
    )


def is_json(headers: Headers) -> bool:
    """Whether a body says that it is JSON."""
    media_type = headers.get("content-type", "").partition(";")[0]
    return media_type.strip().lower() == "application/json"


async def takes_json(request: Request) -> None:
    """A dependency of routes with a body; raises `Problem`."""
    if not is_json(request.headers):
        raise not_json()


def not_json() -> Problem:
    return Problem(415, "not-json", "send the header Content-Type: application/json")


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A route's possible problems, for its OpenAPI description."""
    return {
        status: {"model": ProblemDocument, "description": _TITLES[status]} for status in statuses
    }


class ProblemApp(FastAPI):
    """A FastAPI app whose errors are problem documents, in its answers and in its OpenAPI."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for kind in (AnyHTTPException, RequestValidationError, Unavailable):
            self.add_exception_handler(kind, _on_error)

    def openapi(self) -> dict[str, Any]:
        """FastAPI describes every body as what a route answers; problems have their own type."""
        schema = super().openapi()
        for path in schema["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    if status[0] in "45" and MEDIA_TYPE not in (content := response["content"]):
                        (described,) = content.values()
                        response["content"] = {MEDIA_TYPE: described}
        return schema


def answer_to(error: Exception, request_id: str | None) -> Response | None:
    """The problem document that tells of an error; none for one that nobody has foreseen."""
    match error:
        case AnyHTTPException():
            default = _KINDS.get(error.status_code, "refused")
            kind = error.kind if isinstance(error, Problem) else default
            return problem_response(
                error.status_code, kind, error.detail, request_id=request_id, headers=error.headers
            )
        case RequestValidationError():
            return _to_invalid(error, request_id)
        case Unavailable():
            return _to_unavailable(error, request_id)
    return None


async def _on_error(request: Request, error: Exception) -> Response:
    response = answer_to(error, getattr(request.state, "request_id", None))
    assert response is not None
    if response.status_code == 405 and (route := request.scope.get("route")):
        # FastAPI names the methods of one route; others may have the same path (RFC 9110, 10.2.1).
        described = request.app.openapi()["paths"].get(route.path, {})
        if described:
            response.headers["Allow"] = ", ".join(sorted(method.upper() for method in described))
    return response


def _to_invalid(error: RequestValidationError, request_id: str | None) -> Response:
    found = error.errors()[:_MAX_ERRORS]
    kind, status = "request-invalid", 422
    if found[0]["loc"][:1] == ("body",):
        kind, status = _CHECKS.get(found[0]["type"], (kind, status))
    errors = [FieldProblem(pointer=_pointer(entry["loc"]), detail=entry["msg"]) for entry in found]
    return problem_response(status, kind, errors[0].detail, request_id=request_id, errors=errors)


def _to_unavailable(error: Unavailable, request_id: str | None) -> Response:
    if not hasattr(error, "retry_after"):  # to refuse in time is routine, and is counted
        log.warning("request_unavailable", reason=error.reason, detail=str(error))
    kind = re.sub(r"(?<!^)(?=[A-Z])", "-", error.reason).lower()
    wait = math.ceil(getattr(error, "retry_after", RETRY_AFTER)) or 1
    detail = _UNAVAILABLE.get(error.reason, "something this answer needs is out of reach")
    return problem_response(
        503, kind, detail, request_id=request_id, headers={"Retry-After": str(wait)}
    )


def _pointer(location: Sequence[Any]) -> str:
    return "/".join(str(part)[:_MAX_POINTER] for part in location)
