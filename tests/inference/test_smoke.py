"""`trending smoke` against a gateway that is served, and some that aren't as they should be."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from trending_cli.main import app
from trending_cli.smoke import SmokeSeen, look

RUNS, SERVED = "0.1.0+abc", {"champion": {"version": "v2"}, "serving": "v2"}
ANSWER = {
    "genres": ["Horror"],
    "probabilities": {"Horror": 0.9},
    "model": {"version": "v2"},
    "prediction_id": "p1",
}


def smoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["smoke", *arguments], env={"COLUMNS": "200"})


def test_a_gateway_that_serves_its_champion_passes(furnished_gateway: tuple[str, str]) -> None:
    url, key = furnished_gateway
    result = smoke(url, "--key", key, "--json")
    assert result.exit_code == 0, result.output
    # The gateway is in this process, and logs.
    [line] = [line for line in result.stdout.splitlines() if line.startswith("{")]
    told = json.loads(line)
    assert told["model_version"]
    assert told["prediction_id"]
    again = smoke(url, "--key", key, "--code-version", told["code_version"])
    assert again.exit_code == 0
    assert told["code_version"] in again.stdout


def test_another_release_than_the_one_asked_for_is_status_1(
    furnished_gateway: tuple[str, str],
) -> None:
    url, key = furnished_gateway
    result = smoke(url, "--key", key, "--code-version", "9.9.9", "--within", "0")
    assert result.exit_code == 1
    assert "instead of 9.9.9" in result.stderr


def test_without_a_key_it_says_what_was_refused(furnished_gateway: tuple[str, str]) -> None:
    result = smoke(furnished_gateway[0], "--within", "0")
    assert result.exit_code == 1
    assert "was answered with 401" in result.stderr


def test_nobody_there_is_status_4() -> None:
    assert smoke("http://127.0.0.1:1", "--within", "0").exit_code == 4


def a_gateway(
    ready: Sequence[int] = (200,), *, models: Any = SERVED, answer: Any = ANSWER
) -> httpx.Client:
    """One that is ready as often as it is asked, the last of these for ever."""
    states = list(ready)

    def answers(request: httpx.Request) -> httpx.Response:
        match request.url.path:
            case "/readyz":
                return httpx.Response(states.pop(0) if len(states) > 1 else states[0])
            case "/openapi.json":
                return httpx.Response(200, json={"info": {"version": RUNS}})
            case "/v1/models":
                return httpx.Response(200, json=models)
            case "/v1/genres":
                return httpx.Response(200, json={"items": [answer]})
        return httpx.Response(200)

    return httpx.Client(transport=httpx.MockTransport(answers), base_url="http://gateway")


class Time:
    """Passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now


def seen(client: httpx.Client, *, within: float = 0, code_version: str | None = None) -> Any:
    time = Time()
    return look(
        client, code_version=code_version, within=within, sleep=time.sleep, clock=time.clock
    )


def test_what_is_not_ready_yet_is_waited_for() -> None:
    assert seen(a_gateway([503, 503, 200]), within=5)["code_version"] == RUNS
    with pytest.raises(SmokeSeen, match="/readyz was answered with 503"):
        seen(a_gateway([503, 503, 503, 503, 200]), within=2)


def test_an_old_model_or_an_empty_answer_is_not_good_enough() -> None:
    with pytest.raises(SmokeSeen, match="it serves v1; the champion is v2"):
        seen(a_gateway(models=SERVED | {"serving": "v1"}))
    with pytest.raises(SmokeSeen, match="predicts nothing"):
        seen(a_gateway(answer=ANSWER | {"probabilities": {}}))
