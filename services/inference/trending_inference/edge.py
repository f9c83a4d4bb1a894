"""What happens to every request, whatever it asks: an id, who asks, limits, headers, counts, a line
in the log, a span, one last net.
"""

import re
import traceback
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from uuid import uuid4

import structlog
from opentelemetry.trace import Span, SpanKind
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, bound_contextvars

from trending_inference.access import Access
from trending_inference.metrics import InferenceMetrics
from trending_inference.problems import Problem, answer_to, problem_response
from trending_inference.recording import correlation_id
from trending_shared.api_keys import ANONYMOUS
from trending_shared.messages import read_traceparent, unrecorded
from trending_shared.tracing import OFF, Tracing, fail

log = structlog.get_logger()

MAX_BODY = 1024 * 1024  # bytes
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_ASKED_BY_MACHINES = frozenset({"/healthz", "/readyz", "/metrics"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# Strict-Transport-Security is missing: it is for whoever speaks TLS before us, and without TLS
# browsers must ignore it (RFC 6797, 7.2).
SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": (
        "camera=(), display-capture=(), fullscreen=(), geolocation=(), microphone=(), payment=(), "
        "publickey-credentials-get=(), screen-wake-lock=(), usb=(), web-share=()"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-permitted-cross-domain-policies": "none",
}
_SECURITY_HEADERS = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


Endpoint = Callable[[Scope, Receive], Awaitable[bytes]]
# Of the others nothing is for what no browser shows, and a server looks at each.
_ANSWER_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    *(
        (name.encode(), SECURITY_HEADERS[name].encode())
        for name in ("cross-origin-resource-policy", "x-content-type-options", "x-frame-options")
    ),
]


class Edge:
    """ASGI middleware around the whole app.

    It puts into a request's state who asks: `caller`, which may be logged, and `account`, which
    `Access.charge` takes.

    A body is counted while it is read, so a caller that announces no length, or a false one, gets
    no further than one that does.

    A caller's `traceparent` is taken over; without one the trace's id follows from the request's.

    Args:
        tell_answered: whether requests that were answered have a line in the log; others always do.
        answered_here: by method and path, what gives the JSON of an answer without the app.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        metrics: InferenceMetrics,
        tracing: Tracing,
        tell_answered: bool,
        answered_here: Mapping[tuple[str, str], Endpoint],
    ) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics
        self._tracing = tracing
        self._tell_answered = tell_answered
        self._answered_here = answered_here

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers.get("x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id
        tracing = OFF if scope["path"] in _ASKED_BY_MACHINES else self._tracing
        parent = read_traceparent(headers.get("traceparent"))
        if parent is None and tracing.on:
            parent = unrecorded(correlation_id(request_id))
        with tracing.span("request", kind=SpanKind.SERVER, parent=parent) as span:
            await self._answer(scope, receive, send, headers, span)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, span: Span
    ) -> None:
        started = perf_counter()
        state = scope["state"]
        request_id = state["request_id"]
        endpoint = self._answered_here.get((scope["method"], scope["path"]))
        status = 0
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY:
                raise _too_large()
            return message

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = [*message.get("headers", ()), *_SECURITY_HEADERS]
                answer.append((b"x-request-id", request_id.encode()))
                if status == 413:
                    # What is still coming isn't worth reading.
                    answer.append((b"connection", b"close"))
                message = {**message, "headers": answer}
            await send(message)

        try:
            with bound_contextvars(request_id=request_id, caller=ANONYMOUS):
                try:
                    caller = self._access.admit(
                        method=scope["method"],
                        path=scope["path"],
                        headers=scope["headers"],
                        client=(scope.get("client") or ("",))[0],
                    )
                    state["caller"], state["account"] = caller
                    if _announced(headers) > MAX_BODY:
                        raise _too_large()
                    bind_contextvars(caller=caller.name)
                    if endpoint:
                        await _send(await endpoint(scope, limited), request_id, send)
                        status = 200
                    else:
                        await self._app(scope, limited, stamped)
                except Exception as error:
                    response = answer_to(error, request_id) or _broken(error, request_id, scope)
                    if not status:  # else the server breaks off what was begun
                        await response(scope, receive, stamped)
        finally:
            seconds = perf_counter() - started
            route = scope["path"] if endpoint else _route(scope)
            self._metrics.requests.labels(route, str(status or 499)).inc()
            self._metrics.request_seconds.labels(route).observe(seconds)
            self._tell(scope, route, status or 499, seconds, span)

    def _tell(self, scope: Scope, route: str, status: int, seconds: float, span: Span) -> None:
        """Tell of a request that has ended; status 499 is that of one whose caller is gone."""
        state = scope["state"]
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        if span.is_recording():
            span.update_name(f"{method} {route}")
            span.set_attribute("http.request.method", method)
            span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                fail(span, str(status))
        if status < 400 and (not self._tell_answered or route in _ASKED_BY_MACHINES):
            return
        log.info(
            "request_answered",
            method=method,
            route=route,
            status=status,
            seconds=round(seconds, 5),
            request_id=state["request_id"],
            caller=state.get("caller", ANONYMOUS),
            trace_id=correlation_id(state["request_id"]).hex,
        )


async def _send(body: bytes, request_id: str, send: Send) -> None:
    length = (b"content-length", str(len(body)).encode())
    headers = [*_ANSWER_HEADERS, length, (b"x-request-id", request_id.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _route(scope: Scope) -> str:
    """The path as we have declared it; as it was sent it is nobody's to keep."""
    return str(getattr(scope.get("route"), "path", "other"))


def _broken(error: Exception, request_id: str, scope: Scope) -> Response:
    log.error("request_failed", route=_route(scope), exception=_told(error))
    return problem_response(
        500, "internal-error", "the log has more, under this id", request_id=request_id
    )


def _told(error: BaseException) -> str:
    """Tracebacks without the errors' own words, which may repeat what was sent."""
    lines: list[str] = []
    each: BaseException | None = error
    while each and len(lines) < 1000:
        lines += [*traceback.format_tb(each.__traceback__), f"{type(each).__qualname__}\n"]
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "".join(lines)


def _too_large() -> Problem:
    return Problem(413, "body-too-large", f"a body holds {MAX_BODY} bytes at most")


def _announced(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else 0


def _request_id(given: str | None) -> str:
    """The caller's id if it can stand in a header and a log line, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else str(uuid4())
