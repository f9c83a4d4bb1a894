"""`trending smoke`: whether a gateway that was just put in service does its work."""

import time
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import typer

from trending_cli.output import Exit, JsonOption, console, fail, print_json, tell
from trending_shared.errors import TrendingError

TEXT = "A detective hunts a ghost in a small town."
_PAUSE = 1.0  # seconds between two looks at a gateway that isn't there yet


class SmokeSeen(TrendingError):
    """The gateway answers, but not as it should."""


def smoke(
    url: Annotated[str, typer.Argument(help="The gateway: https://trending.example.")],
    code_version: Annotated[
        str | None, typer.Option(help="What it must say that it runs; others are waited out.")
    ] = None,
    within: Annotated[
        float, typer.Option(min=0, help="Seconds that it may take to be there and ready.")
    ] = 60.0,
    key: Annotated[
        str | None,
        typer.Option(envvar="TRENDING_API_KEY", help="One with the scopes read and predict."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a gateway whether it lives, is ready, which model it serves, and for one prediction.

    Status 1: it answers otherwise than it should; 4: it doesn't answer.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx.Client(base_url=url, headers=headers, timeout=20) as client:
        try:
            found = look(client, code_version=code_version, within=within)
        except httpx.HTTPError as error:
            raise fail(f"{url} doesn't answer: {error!r}", Exit.UNREACHABLE) from error
    if as_json:
        print_json(found)
    else:
        console.print(
            f"[green]{url} runs {found['code_version']} and serves {found['model_version']}[/]",
            highlight=False,
        )


def look(
    client: httpx.Client,
    *,
    code_version: str | None,
    within: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Go through the checks; the first that fails ends it, unless time may mend it.

    Raises:
        SmokeSeen: the gateway isn't as it should be, or wasn't so in time.
        httpx.HTTPError: it doesn't answer.
    """
    deadline = clock() + within
    while True:
        try:
            return _look(client, code_version)
        except (SmokeSeen, httpx.HTTPError) as error:
            if clock() >= deadline:
                raise
            tell(f"not yet: {error}")
            sleep(_PAUSE)


def _look(client: httpx.Client, code_version: str | None) -> dict[str, Any]:
    for probe in ("/healthz", "/readyz"):
        _ask(client, "GET", probe)
    runs = _ask(client, "GET", "/openapi.json").json()["info"]["version"]
    if code_version not in (None, runs):
        raise SmokeSeen(f"it runs {runs} instead of {code_version}")
    models = _ask(client, "GET", "/v1/models").json()
    champion = (models["champion"] or {}).get("version")
    if models["serving"] != champion:
        raise SmokeSeen(f"it serves {models['serving']}; the champion is {champion}")
    [answer] = _ask(client, "POST", "/v1/genres", {"items": [{"text": TEXT}]}).json()["items"]
    if not answer["probabilities"]:
        raise SmokeSeen("it predicts nothing")
    return {
        "code_version": runs,
        "model_version": answer["model"]["version"],
        "genres": answer["genres"],
        "prediction_id": answer["prediction_id"],
    }


def _ask(client: httpx.Client, method: str, path: str, body: Any = None) -> httpx.Response:
    answer = client.request(method, path, json=body)
    if answer.is_error:
        said = " ".join(answer.text.split())[:200]
        raise SmokeSeen(f"{method} {path} was answered with {answer.status_code}: {said}")
    return answer
