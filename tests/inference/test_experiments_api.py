"""Experiments in the gateway: who is answered by what, what is asked unseen, what is recorded."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient, Response

from trending_shared.events import PredictionServed
from trending_shared.experiments import Arm, Experiments, assign, hash_unit
from trending_shared.registry import Manifest
from trending_shared.testing.models import a_graph, promote

TTL = timedelta(seconds=1)
UNITS = [f"viewer-{number}" for number in range(40)]
GENRES = "/v1/experiments/models/genres"


def control(weight: float = 1) -> Arm:
    return Arm(name="control", version="champion", weight=weight)


def candidate(version: str, weight: float = 0, shadow: float = 0) -> Arm:
    return Arm(name="candidate", version=version, weight=weight, shadow=shadow)


async def ask(client: AsyncClient, text: str = "a heist", **more: Any) -> Response:
    headers = {"X-Unit-Id": more.pop("unit")} if "unit" in more else {}
    body = {"items": [{"text": text}], **more}
    return await client.post("/v1/genres", json=body, headers=headers)


async def version_for(client: AsyncClient, unit: str) -> str:
    response = await ask(client, unit=unit)
    assert response.status_code == 200, response.text
    return str(response.json()["items"][0]["model"]["version"])


async def metric(client: AsyncClient, sample: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sample))


def problem(response: Response) -> tuple[int, str]:
    document = response.json()
    return response.status_code, document["type"].removeprefix("urn:trending:problem:")


@pytest.fixture
async def champion(world: Any) -> Manifest:
    return promote(world.models, a_graph())


@pytest.fixture
async def other(world: Any, champion: Manifest) -> Manifest:
    registered: Manifest = world.register(a_graph(likely=0.8))
    return registered


@pytest.fixture
async def client(world: Any, champion: Manifest) -> AsyncIterator[AsyncClient]:
    async with world.client() as client:
        yield client


# ---------------------------------------------------------------- who is answered by what


async def test_a_unit_always_gets_the_arm_that_is_drawn_for_it_and_that_is_on_record(
    world: Any, champion: Manifest, other: Manifest
) -> None:
    experiment = world.experiment(control(), candidate(other.version, 1))
    arms = {unit: assign(experiment, unit).arm.name for unit in UNITS}
    versions = {"control": champion.version, "candidate": other.version}
    for _ in range(2):  # gateways of their own
        async with world.client() as client:
            for unit in UNITS[:10]:
                assert await version_for(client, unit) == versions[arms[unit]]
    served = world.publisher.events(PredictionServed)
    for event, unit in zip(served, UNITS[:10] * 2, strict=True):
        assert event.trial.experiment == "autumn"
        assert (event.trial.arm, event.model_version) == (arms[unit], versions[arms[unit]])
        assert event.trial.unit == hash_unit("autumn", unit)
        assert (event.trial.fallback, event.trial.shadow_of) == (False, None)
        assert event.alias == ("champion" if arms[unit] == "control" else "experiment")
        assert unit not in event.model_dump_json()


async def test_without_a_unit_each_request_is_one(world: Any, other: Manifest) -> None:
    experiment = world.experiment(control(), candidate(other.version, 1))
    async with world.client() as client:
        answers = [await ask(client) for _ in range(20)]
    drawn = [assign(experiment, each.headers["x-request-id"]).arm.name for each in answers]
    trials = [event.trial for event in world.publisher.events(PredictionServed)]
    assert [trial.arm for trial in trials] == drawn
    assert set(drawn) == {"control", "candidate"}


@pytest.mark.parametrize("unit", ["", "a b", "x" * 129, "a\nb"])
async def test_a_unit_that_is_no_name_is_refused(client: AsyncClient, unit: str) -> None:
    for path, body in (
        ("/v1/genres", {"items": [{"text": "a heist"}]}),
        ("/v1/insights", {"plot": "A heist."}),
    ):
        response = await client.post(path, json=body, headers={"X-Unit-Id": unit})
        assert problem(response) == (422, "request-invalid")
        assert response.json()["request_id"]


async def test_weights_and_the_end_of_an_experiment_are_followed_within_the_ttl(
    world: Any, champion: Manifest, other: Manifest
) -> None:
    world.experiment(control(), candidate(other.version, 1))

    async def followed(client: AsyncClient) -> set[str]:
        async def follows() -> bool:
            (listed,) = (await client.get("/v1/experiments")).json()["items"]
            return bool(listed["follows"])

        world.clock.advance(TTL)
        await world.until(follows)
        return {await version_for(client, unit) for unit in UNITS}

    async with world.client() as client:
        assert {await version_for(client, unit) for unit in UNITS} == {
            champion.version,
            other.version,
        }
        world.experiment(control(0), candidate(other.version, 1))
        assert await followed(client) == {other.version}
        world.experiment(control(), state="stopped")
        assert await followed(client) == {champion.version}
        (left,) = (await client.get("/v1/models")).json()["in_service"]
        assert left["version"] == champion.version
        (event, *_) = reversed(world.publisher.events(PredictionServed))
        assert event.trial is None


async def test_the_control_follows_the_champion(world: Any, other: Manifest) -> None:
    world.experiment(control(), candidate(other.version, 1))
    async with world.client() as client:
        new = promote(world.models, a_graph(likely=0.7))
        world.clock.advance(TTL)

        async def seen() -> bool:
            return {await version_for(client, unit) for unit in UNITS} == {
                new.version,
                other.version,
            }

        await world.until(seen)


# ---------------------------------------------------------------- what can't be served


async def test_an_arm_that_cant_be_served_leaves_its_units_to_the_champion_and_says_so(
    world: Any, champion: Manifest
) -> None:
    broken = world.register(b"no graph at all")
    experiment = world.experiment(control(), candidate(broken.version, 1))
    async with world.client() as client:
        assert (await client.get("/readyz")).status_code == 200
        assert {await version_for(client, unit) for unit in UNITS} == {champion.version}
        (told,) = (await client.get("/v1/models")).json()["broken"]
        assert (told["role"], told["version"]) == ("autumn/candidate", broken.version)
        assert told["reason"] == "ModelUnusable"
        (listed,) = (await client.get("/v1/experiments")).json()["items"]
        assert [(arm["in_service"], arm["reason"]) for arm in listed["arms"]] == [
            (champion.version, None),
            (None, "ModelUnusable"),
        ]
        gauge = 'trending_inference_version_broken{role="autumn/candidate"'
        assert await metric(client, gauge) == 1
        drawn = [assign(experiment, unit).arm.name for unit in UNITS]
        fallbacks = "trending_inference_experiment_fallbacks_total"
        assert await metric(client, fallbacks) == drawn.count("candidate")
        for arm in set(drawn):
            arms = f'trending_inference_experiment_requests_total{{arm="{arm}"'
            assert await metric(client, arms) == drawn.count(arm)
        world.experiment(control(), state="stopped")
        world.clock.advance(TTL)

        async def silent() -> bool:
            await ask(client)
            return await metric(client, gauge) == 0

        await world.until(silent)
    trials = [event.trial for event in world.publisher.events(PredictionServed)][: len(UNITS)]
    assert [trial.arm for trial in trials] == drawn
    assert [trial.fallback for trial in trials] == [arm == "candidate" for arm in drawn]


async def test_a_champion_that_cant_be_served_raises_an_alarm_and_readiness_stays(
    world: Any, champion: Manifest
) -> None:
    async with world.client() as client:
        broken = promote(world.models, b"no graph at all")
        world.clock.advance(TTL)

        async def alarmed() -> bool:
            await ask(client)
            return await metric(client, 'trending_inference_version_broken{role="champion"') == 1

        await world.until(alarmed)
        assert (await client.get("/readyz")).text == "ready"
        models = (await client.get("/v1/models")).json()
        assert (models["champion"]["version"], models["serving"]) == (
            broken.version,
            champion.version,
        )
        assert [each["role"] for each in models["broken"]] == ["champion"]


async def test_an_experiment_that_cant_be_read_is_none_and_is_told(
    world: Any, champion: Manifest
) -> None:
    world.store.put("experiments/models/genres/00000001.json", b"{")
    async with world.client() as client:
        assert await version_for(client, "viewer-7") == champion.version
        (told,) = (await client.get("/v1/models")).json()["broken"]
        assert (told["role"], told["version"]) == ("experiments", None)
        for path in ("/v1/experiments", GENRES):
            assert problem(await client.get(path)) == (503, "experiment-unreadable")


# ---------------------------------------------------------------- several versions at once


async def test_a_caller_may_name_any_version_in_service_whatever_its_arm(
    world: Any, champion: Manifest, other: Manifest
) -> None:
    idle = world.register(a_graph(likely=0.7))
    world.experiment(control(), candidate(other.version, 0, shadow=1))
    async with world.client() as client:
        for manifest, likely, alias in ((champion, 0.9, "champion"), (other, 0.8, "pinned")):
            (item,) = (await ask(client, version=manifest.version)).json()["items"]
            assert item["probabilities"]["Crime"] == pytest.approx(likely)
            assert item["model"]["version"] == manifest.version
            assert item["model"]["alias"] == alias
        assert problem(await ask(client, version=idle.version)) == (404, "version-unknown")
        assert problem(await ask(client, version="champion")) == (422, "request-invalid")
        told = (await client.get("/v1/models")).json()["in_service"]
        assert {each["version"]: each["roles"] for each in told} == {
            champion.version: ["champion", "autumn/control"],
            other.version: ["autumn/candidate"],
        }
    assert [event.trial for event in world.publisher.events(PredictionServed)] == [None, None]


# ---------------------------------------------------------------- shadow


async def test_a_shadow_is_recorded_beside_the_answer_and_counts_as_nothing_served(
    world: Any, champion: Manifest, other: Manifest
) -> None:
    world.experiment(control(), candidate(other.version, shadow=1))
    async with world.client() as client:
        body = {"items": [{"text": "a heist"}, {"text": "a ghost"}]}
        items = (await client.post("/v1/genres", json=body)).json()["items"]
        assert {item["model"]["version"] for item in items} == {champion.version}
        shadows = 'trending_inference_shadows_total{outcome="recorded",subject="models"}'
        await world.until(lambda: metric(client, shadows))
        assert await metric(client, "trending_inference_texts_total") == 2
        assert await metric(client, "trending_inference_genres_total") == 2
        assert await metric(client, shadows) == 1
    told: list[Any] = []
    unseen: list[Any] = []
    for event in world.publisher.events(PredictionServed):
        (unseen if event.trial.shadow_of else told).append(event)
    assert [event.trial.shadow_of for event in unseen] == [item["prediction_id"] for item in items]
    for seen, shadow in zip(told, unseen, strict=True):
        assert (seen.trial.arm, shadow.trial.arm) == ("control", "candidate")
        assert shadow.model_version == other.version
        assert shadow.prediction_id != seen.prediction_id
        assert max(shadow.probabilities.values()) == pytest.approx(0.8)
        assert (shadow.text, shadow.request_id, shadow.trial.unit) == (
            seen.text,
            seen.request_id,
            seen.trial.unit,
        )


async def test_a_shadow_reads_titles_as_its_own_recipe_has_it(
    world: Any, champion: Manifest
) -> None:
    await world.add_title()
    await world.add_review("r_1", "t_alien", text="A laugh.")
    plain = world.register(a_graph(likely=0.8), recipe="name-plot-reviews-kind-countries-1")
    world.experiment(control(), candidate(plain.version, shadow=1))
    async with world.client() as client:
        await client.post("/v1/genres", json={"items": [{"title_id": "t_alien"}]})
        await world.until(lambda: metric(client, "trending_inference_shadows_total"))
    seen, shadow = world.publisher.events(PredictionServed)
    assert shadow.title_id == seen.title_id == "t_alien"
    assert "laugh" in shadow.text
    assert "laugh" not in seen.text


async def test_shadows_that_are_too_many_are_dropped_and_answers_arent(
    world: Any, other: Manifest
) -> None:
    world.experiment(control(), candidate(other.version, shadow=1))
    async with world.client() as client:
        body = {"items": [{"text": "a heist"}] * 64}
        answers = await asyncio.gather(*(client.post("/v1/genres", json=body) for _ in range(16)))
        assert {each.status_code for each in answers} == {200}
        shadows = "trending_inference_shadows_total"

        async def done() -> bool:
            return await metric(client, shadows) == 16

        await world.until(done)
        dropped = await metric(client, shadows + '{outcome="dropped"')
        assert dropped > 0
    unseen = [e for e in world.publisher.events(PredictionServed) if e.trial.shadow_of]
    assert len(unseen) == 64 * (16 - dropped)


async def test_a_shadow_that_fails_is_counted_and_hurts_nobody(world: Any, other: Manifest) -> None:
    world.experiment(control(), candidate(other.version, shadow=1))
    async with world.client() as client:
        world.publisher.down = True
        assert (await ask(client)).json()["items"][0]["recorded"] is False
        failed = 'trending_inference_shadows_total{outcome="failed",subject="models"}'
        await world.until(lambda: metric(client, failed))
        assert await metric(client, "trending_inference_unrecorded_predictions_total") == 1


# ---------------------------------------------------------------- the routes


async def test_an_experiment_is_started_changed_and_stopped_by_whoever_saw_the_last_state(
    client: AsyncClient, other: Manifest
) -> None:
    body: dict[str, Any] = {
        "name": "autumn",
        "arms": [
            {"name": "control", "version": "champion", "weight": 1},
            {"name": "candidate", "version": other.version, "shadow": 1},
        ],
        "reason": "does it agree?",
    }
    assert problem(await client.get(GENRES)) == (404, "experiment-unknown")
    assert (await client.get("/v1/experiments")).json()["items"] == []
    early = await client.put(GENRES, json=body, headers={"If-Match": '"1"'})
    assert problem(early) == (412, "experiment-changed")
    started = await client.put(GENRES, json=body)
    assert (started.status_code, started.headers["etag"]) == (200, '"1"')
    assert started.json()["changed_by"] == "anonymous"
    assert problem(await client.put(GENRES, json=body)) == (428, "match-needed")

    seen = await client.get(GENRES)
    tag = {"If-Match": seen.headers["etag"]}
    unchanged = await client.get(GENRES, headers={"If-None-Match": seen.headers["etag"]})
    assert unchanged.status_code == 304
    body["arms"][1] |= {"weight": 0.5, "shadow": 0}
    changed, late = [await client.put(GENRES, json=body, headers=tag) for _ in range(2)]
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert problem(late) == (412, "experiment-changed")
    renamed = await client.put(GENRES, json=body | {"name": "b"}, headers={"If-Match": '"2"'})
    assert problem(renamed) == (409, "experiment-invalid")
    assert "autumn is running" in renamed.json()["detail"]
    end = {**body, "state": "stopped", "reason": "decided"}
    assert (await client.put(GENRES, json=end, headers={"If-Match": '"2"'})).status_code == 200

    told = (await client.get(GENRES, params={"limit": 2})).json()
    assert (told["current"]["state"], told["total"]) == ("stopped", 3)
    assert [each["number"] for each in told["history"]] == [3, 2]
    assert told["history"][0]["reasons"] == ["decided"]
    assert told["links"]["next"].endswith("limit=2&offset=2")
    gone = await client.get(f"{GENRES}/assignment", params={"unit": "viewer-7"})
    assert problem(gone) == (404, "experiment-unknown")


async def test_an_assignment_is_the_one_that_is_served(
    world: Any, client: AsyncClient, other: Manifest
) -> None:
    world.experiment(control(), candidate(other.version, 1, shadow=1))
    for unit in UNITS[:5]:
        told = (await client.get(f"{GENRES}/assignment", params={"unit": unit})).json()
        assert (told["experiment"], told["unit"]) == ("autumn", hash_unit("autumn", unit))
        served = told["version"]
        assert served == (other.version if told["arm"] == "candidate" else "champion")
        assert told["shadows"] == ([] if told["arm"] == "candidate" else ["candidate"])


@pytest.mark.parametrize(
    ("path", "changes", "told"),
    [
        (GENRES, {"arms": []}, (422, "no-items")),
        (GENRES, {"name": "A B"}, (422, "request-invalid")),
        (GENRES, {"weights": 1}, (422, "request-invalid")),
        (
            GENRES,
            {"arms": [{"name": "a", "version": "../x", "weight": 1}]},
            (422, "request-invalid"),
        ),
        (
            GENRES,
            {"arms": [{"name": "a", "version": "champion", "weight": -1}]},
            (422, "request-invalid"),
        ),
        (
            GENRES,
            {"arms": [{"name": "a", "version": "0" * 16, "weight": 1}]},
            (409, "experiment-invalid"),
        ),
        (GENRES, {"arms": [{"name": "a", "version": "champion"}]}, (409, "experiment-invalid")),
        ("/v1/experiments/models/others", {}, (404, "target-unknown")),
        ("/v1/experiments/prompts/genres", {}, (404, "target-unknown")),
        ("/v1/experiments/others/genres", {}, (422, "request-invalid")),
    ],
)
async def test_what_is_no_experiment_is_refused_and_changes_nothing(
    world: Any, client: AsyncClient, path: str, changes: dict[str, Any], told: tuple[int, str]
) -> None:
    body = {"name": "autumn", "arms": [{"name": "a", "version": "champion", "weight": 1}]}
    assert problem(await client.put(path, json=body | changes)) == told
    assert Experiments(world.store).all() == []
