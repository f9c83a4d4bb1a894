"""People for a trial: who asks, what they say, and when."""

import json

import httpx
import pytest

from trending_cli.demo_trial import People, Story
from trending_shared.errors import TrendingError

STORIES = [Story({"text": "a ghost"}, ("Horror",)), Story({"title_id": "t"}, ("Crime",))]


class Gateway:
    """Answers each question, and has on record what it is told to have."""

    def __init__(self) -> None:
        self.units: list[str] = []
        self.items: list[dict[str, str]] = []
        self.said: list[tuple[str, list[str]]] = []
        self.recorded = True
        self.status = 200

    def handle(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if request.url.path == "/v1/feedback":
            if not self.recorded:
                return httpx.Response(404)
            self.said.append((body["prediction_id"], body["genres"]))
            return httpx.Response(202, json={})
        if self.status != 200:
            return httpx.Response(self.status)
        self.units.append(request.headers["x-unit-id"])
        self.items += body["items"]
        told = {"prediction_id": f"p{len(self.items)}", "model": {"version": "v"}}
        return httpx.Response(200, json={"items": [told]})

    def client(self) -> httpx.AsyncClient:
        transport = httpx.MockTransport(self.handle)
        return httpx.AsyncClient(base_url="http://gateway", transport=transport)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


async def test_each_asks_once_and_says_later_what_is_true_of_that_very_answer(
    gateway: Gateway,
) -> None:
    async with gateway.client() as client:
        people = People(client, STORIES)
        assert await people.ask(3) == {"v"}
        assert gateway.said == []
        gateway.recorded = False
        await people.say()
        gateway.recorded = True
        await people.say()
        await people.say()
    assert len(set(gateway.units)) == 3
    assert gateway.items == [STORIES[0].item, STORIES[1].item, STORIES[0].item]
    assert sorted(gateway.said) == [("p1", ["Horror"]), ("p2", ["Crime"]), ("p3", ["Horror"])]


async def test_a_busy_gateway_is_asked_again_and_another_error_is_told(gateway: Gateway) -> None:
    async with gateway.client() as client:
        people = People(client, STORIES)
        gateway.status = 503
        assert await people.ask(2) == set()
        gateway.status = 500
        with pytest.raises(TrendingError, match="500"):
            await people.ask(1)
