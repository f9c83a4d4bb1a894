"""`/v1/jobs/{id}` and its events: a job as the event log tells it."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient

from trending_inference.following import Jobs, TooManyFollowers
from trending_shared.events import FeaturesComputed, PageFetched, ScrapeJob
from trending_shared.messages import Message, first_message
from trending_shared.testing import a_page, a_title_cleaned, a_title_scraped

COUNTS = {
    "pages": 1,
    "titles_scraped": 1,
    "reviews_scraped": 0,
    "titles_cleaned": 0,
    "titles_rejected": 0,
    "reviews_cleaned": 0,
    "reviews_rejected": 0,
    "featurized": 0,
    "parked": 0,
}


@pytest.fixture
async def client(world: Any) -> AsyncIterator[AsyncClient]:
    async with world.client() as client:
        yield client


def a_story() -> list[Message[Any]]:
    """A job, and all that came of it."""
    job = first_message(ScrapeJob(source="demo", url="http://films.example/t/1", page="detail"))
    fetched = PageFetched(source="demo", url=job.event.url, kind="detail", page=a_page(), events=1)
    title = job.leads_to(a_title_scraped())
    cleaned = title.leads_to(a_title_cleaned())
    computed = FeaturesComputed(
        title_id=cleaned.event.title_id,
        content_hash="c",
        text_hash="h",
        recipe="r",
        encoder="e",
    )
    return [job, job.leads_to(fetched), title, cleaned, cleaned.leads_to(computed)]


def events(body: str) -> list[dict[str, Any]]:
    """The events of a stream, without comments."""
    found = []
    for block in body.strip().split("\n\n"):
        lines = [line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")]
        if lines:
            found.append(dict(lines))
    return [{**event, "data": json.loads(event["data"])} for event in found]


async def test_a_job_under_way_tells_what_has_come_of_it(client: AsyncClient, world: Any) -> None:
    job, fetched, title, *_ = a_story()
    world.log.add(first_message(job.event), job, fetched, title)
    status = (await client.get(f"/v1/jobs/{job.id}")).json()
    assert status == {
        "job_id": str(job.id),
        "done": False,
        "counts": COUNTS,
        "rejected": {},
        "parked": {},
    }
    assert world.log.readers == 0


async def test_a_job_is_done_when_all_of_it_came_to_its_end(
    client: AsyncClient, world: Any
) -> None:
    story = a_story()
    world.log.add(*story)
    status = (await client.get(f"/v1/jobs/{story[0].id}")).json()
    assert status["done"]
    assert status["counts"]["featurized"] == 1


@pytest.mark.parametrize("path", ["", "/events"])
async def test_an_unknown_job_is_a_problem(client: AsyncClient, world: Any, path: str) -> None:
    world.log.add(*a_story())
    response = await client.get(f"/v1/jobs/{uuid4()}{path}")
    assert response.status_code == 404
    assert response.json()["type"] == "urn:trending:problem:job-unknown"
    assert world.log.readers == 0


async def test_a_job_is_followed_to_its_end(client: AsyncClient, world: Any) -> None:
    first, *world.log.later = a_story()
    world.log.add(first)
    response = await client.get(f"/v1/jobs/{first.id}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    told = events(response.text)
    assert [(event["event"], event["id"]) for event in told] == [
        *(("progress", str(n)) for n in range(1, 5)),
        ("done", "5"),
    ]
    assert [event["data"]["done"] for event in told] == [False] * 4 + [True]
    assert told[-1]["data"] == (await client.get(f"/v1/jobs/{first.id}")).json()
    assert world.log.readers == 0


async def test_whoever_comes_again_hears_only_what_is_new(client: AsyncClient, world: Any) -> None:
    *known, last = a_story()
    world.log.add(*known)
    world.log.later = [last]
    url = f"/v1/jobs/{known[0].id}/events"
    told = events((await client.get(url, headers={"Last-Event-ID": "4"})).text)
    assert [(event["event"], event["id"]) for event in told] == [("done", "5")]
    again = events((await client.get(url, headers={"Last-Event-ID": "5"})).text)
    assert again == told, "the end is told as often as somebody asks"
    assert (await client.get(url, headers={"Last-Event-ID": "x"})).status_code == 422


async def test_only_so_many_jobs_are_followed_at_once(world: Any) -> None:
    first, *_ = a_story()
    world.log.add(first)
    jobs = Jobs(world.log.watch, at_once=1, patience=5)
    async with jobs.following(first.id):
        with pytest.raises(TooManyFollowers):
            async with jobs.following(first.id):
                pass
    async with jobs.following(first.id):
        pass


async def test_a_full_house_is_a_problem_that_says_when_to_come_again(world: Any) -> None:
    first, *_ = a_story()
    world.log.add(first)
    app = world.app(followers=1)
    async with world.client_of(app) as client, app.state.jobs.following(first.id):
        response = await client.get(f"/v1/jobs/{first.id}")
    assert response.status_code == 503
    assert response.json()["type"] == "urn:trending:problem:too-many-followers"
    assert response.headers["retry-after"]


async def test_a_stream_ends_when_the_gateway_is_stopped(world: Any) -> None:
    first, *_ = a_story()
    world.log.add(first)
    app = world.app()
    async with world.client_of(app) as client:
        app.state.jobs.stop()
        told = events((await client.get(f"/v1/jobs/{first.id}/events")).text)
    assert [event["event"] for event in told] == ["progress"]


async def test_an_end_of_the_log_that_is_never_reached_is_unavailable(world: Any) -> None:
    async def never(_: Any) -> dict[str, int]:
        return {"all": 10**9}

    world.log.end_offsets = never
    async with world.client(timeout=0.01) as client:
        response = await client.get(f"/v1/jobs/{uuid4()}")
    assert response.status_code == 503
    assert response.json()["type"] == "urn:trending:problem:broker-unavailable"
    assert world.log.readers == 0
