"""What `trending story` tells of a title: from all that is kept, and from what is left of it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from trending_cleaner.schemas import REJECTS, TITLES, reject_row, row_of
from trending_cli.stories import changes
from trending_shared.catalog import Catalog, corrections, identities, predictions, titles, windows
from trending_shared.errors import Rejected
from trending_shared.events import (
    FeaturesComputed,
    InsightServed,
    RecordRejected,
    ScrapeJob,
    TitleScraped,
)
from trending_shared.messages import Message, Position, first_message
from trending_shared.publishing import KafkaPublisher
from trending_shared.tables import OffsetTable
from trending_shared.testing import a_page, a_review_cleaned, a_title_cleaned, a_title_scraped
from trending_shared.topics import dead_letter_topic

HOSTILE = "Alien [/bold]\x1b[31m"


class House:
    """One title of the source `demo` in all that is kept, under ids of its own."""

    def __init__(self, terminal: Any) -> None:
        self.terminal = terminal
        settings = terminal.settings
        self.source_id = f"film-{uuid4().hex}"
        self.title_id = f"t_{uuid4().hex[:16]}"
        self.page = a_page(
            url=f"http://films.example/{self.source_id}", fetched_at=datetime.now(UTC)
        )
        self._tables = {
            name: OffsetTable(settings.store, name, schema=schema, owner="cleaner")
            for name, schema in (("titles", TITLES), ("rejects", REJECTS))
        }
        self.job = first_message(ScrapeJob(source="demo", url=self.page.url, page="detail"))
        self.scraped = self.job.leads_to(
            a_title_scraped(source_id=self.source_id, page=self.page, name=HOSTILE, kind="Movie")
        )
        self.cleaned = self.scraped.leads_to(
            a_title_cleaned(
                title_id=self.title_id,
                source_id=self.source_id,
                page=self.page,
                name=HOSTILE,
                genres=("Horror",),
                unknown_genres=("Slime",),
            )
        )
        self.computed = self.cleaned.leads_to(
            FeaturesComputed(
                title_id=self.title_id, content_hash="c", text_hash="h", recipe="r-1", encoder="e"
            )
        )

    def keep(self) -> None:
        """Put it into tables and catalog."""
        row = row_of(self.scraped, self.cleaned.event, code_version="1")
        self._tables["titles"].append([(Position("titles-scraped", 0, 0), row)])
        self.list_title()

    def refuse(self, reason: str) -> RecordRejected:
        event = RecordRejected(
            record="title",
            source="demo",
            source_id=self.source_id,
            page=self.page,
            reason=reason,
            detail="it has no name",
        )
        at = self.page.fetched_at + timedelta(seconds=2)
        row = reject_row(self.scraped, event, None, now=at, code_version="1")
        self._tables["rejects"].append([(Position("titles-scraped", 0, 1), row)])
        return event

    def list_title(self, **changes: Any) -> None:
        self.insert(
            titles,
            {
                "title_id": self.title_id,
                "source": "demo",
                "source_id": self.source_id,
                "name": HOSTILE,
                "kind": "film",
                "genres": ["Horror"],
                "plot": "A plot.",
                "countries": [],
                "license": "LicenseRef-trending-demo",
                "url": self.page.url,
                "page_hash": self.page.hash,
                "page_key": self.page.key,
                "fetched_at": self.page.fetched_at,
                "content_hash": "c",
                "text_hash": "h",
                "popularity": [],
            }
            | changes,
        )

    def predict(self, **changes: Any) -> str:
        id = str(uuid4())
        self.insert(
            predictions,
            {
                "prediction_id": id,
                "request_id": "r",
                "correlation_id": id,
                "model": "genres",
                "model_version": "0123456789abcdef",
                "alias": "champion",
                "title_id": self.title_id,
                "text": "a text",
                "text_hash": "h",
                "probabilities": {"Horror": 0.93},
                "genres": ["Horror"],
                "served_at": self.page.fetched_at + timedelta(minutes=5),
                "duration_ms": 1.0,
            }
            | changes,
        )
        return id

    def insert(self, table: Any, row: dict[str, Any]) -> None:
        async def write() -> None:
            catalog = Catalog(self.terminal.settings.catalog)
            await catalog.create()
            async with catalog.transaction() as connection:
                await catalog.upsert(connection, table, [row])
            await catalog.close()

        asyncio.run(write())

    def told(self, asked: str | None = None) -> Any:
        return self.terminal.json("story", asked or self.title_id)


def publish(terminal: Any, service: str, *messages: Message[Any]) -> None:
    async def send() -> None:
        publisher: KafkaPublisher = terminal._publisher(service)
        async with publisher:
            await publisher.publish(messages)

    asyncio.run(send())


@pytest.mark.connected
def test_a_story_is_told_in_the_order_of_time_with_what_the_log_alone_has(terminal: Any) -> None:
    house = House(terminal)
    house.keep()
    insight = InsightServed(
        insight_id=str(uuid4()),
        request_id="r",
        title_id=house.title_id,
        caller="shop",
        outcome="degraded",
        reason="no-llm",
        prompt="insights",
        prompt_version="p1",
        answer_form="insight-1",
        attempts=0,
        cached=False,
        prompt_tokens=0,
        completion_tokens=0,
        cost_usd=0,
        evidence_hash="e",
        sentences=3,
        withheld=0,
        answer_hash="a",
        genres=("Horror",),
        claims=2,
        dropped={},
        served_at=datetime.now(UTC),
        duration_ms=1,
    )
    repeated = RecordRejected(
        record="review",
        source="demo",
        source_id=house.source_id,
        page=house.page,
        reason="Duplicate",
        detail="r_1 says so already",
    )
    another = a_title_cleaned(title_id="t_another", source_id="another")
    publish(terminal, "cli", house.job)
    publish(terminal, "scraper", house.scraped)
    publish(terminal, "cleaner", house.cleaned, house.scraped.leads_to(another))
    publish(terminal, "cleaner", house.cleaned)  # a second time, as after a kill
    review = a_review_cleaned(title_id=house.title_id, page=house.page)
    publish(terminal, "cleaner", house.job.leads_to(review))
    publish(terminal, "cleaner", house.job.leads_to(repeated))
    publish(terminal, "featurizer", house.computed)
    asked = first_message(insight)
    publish(terminal, "inference", asked)

    told = house.told()
    assert [(step["service"], step["what"]) for step in told["steps"]] == [
        ("cli", "asked for"),
        ("scraper", "scraped"),
        ("cleaner", "cleaned"),
        ("cleaner", "review"),
        ("cleaner", "review refused"),
        ("featurizer", "featurized"),
        ("inference", "insight"),
    ]
    assert all(step["exact"] for step in told["steps"])
    assert [step["at"] for step in told["steps"]] == sorted(step["at"] for step in told["steps"])
    assert told["steps"][0]["seconds"] is None
    assert all(step["seconds"] >= 0 for step in told["steps"][1:])
    story = house.job.id.hex
    assert told["traces"] == {story: 6, asked.id.hex: 1}
    cleaned = told["steps"][2]
    assert cleaned["details"]["changed"]["kind"] == ["Movie", "film"]
    assert "unknown: Slime" in cleaned["told"]
    assert "Duplicate" in told["steps"][4]["told"]
    assert told["gaps"] == [f"page {house.page.url}: its bytes aren't kept any more"]

    shown = terminal.run("story", house.title_id).stdout
    assert "\x1b" not in shown
    assert "Alien [/bold]" in shown
    assert shown.index("asked for") < shown.index("cleaned") < shown.index("insight")
    assert f"trace {story}: 6 of 7 steps" in shown


@pytest.mark.connected
def test_an_event_that_was_parked_is_part_of_the_story(terminal: Any) -> None:
    house = House(terminal)
    house.keep()

    def handle(messages: Sequence[Message[TitleScraped]]) -> list[Message[Any]]:
        if any(message.event.source_id == house.source_id for message in messages):
            raise Rejected("a page's own words")
        return []

    with terminal.group("critics", TitleScraped, handle):
        publish(terminal, "scraper", house.scraped)
        terminal.wait_for(dead_letter_topic(TitleScraped.topic, "critics"), str(house.scraped.id))
    (parked,) = [step for step in house.told()["steps"] if step["what"] == "parked"]
    assert parked["service"] == "critics"
    assert parked["trace_id"] == house.job.id.hex
    assert parked["told"].startswith("Rejected, from titles-scraped:")


def test_without_a_log_the_rest_is_told_and_says_so(offline: Any) -> None:
    house = House(offline)
    house.keep()
    window = {
        "window_id": str(uuid4()),
        "model": "genres",
        "model_version": "0123456789abcdef",
        "predictions": 100,
        "first_at": house.page.fetched_at,
        "last_at": house.page.fetched_at + timedelta(hours=1),
        "scores": {"confidence": 0.4},
        "drifted": ["confidence"],
    }
    house.insert(windows, window)
    prediction = house.predict(window_id=window["window_id"])
    house.insert(
        corrections,
        {
            "feedback_id": str(uuid4()),
            "title_id": house.title_id,
            "prediction_id": prediction,
            "text": "a text",
            "text_hash": "h",
            "genres": ["Comedy"],
            "said_by": "shop",
            "corrected_at": house.page.fetched_at + timedelta(minutes=6),
        },
    )
    told = house.told()
    assert [(step["what"], step["exact"]) for step in told["steps"]] == [
        ("scraped", True),
        ("cleaned", False),
        ("predicted", True),
        ("corrected", True),
        ("window", True),
    ]
    assert told["steps"][2]["seconds"] == 300  # since the page; when it was cleaned nobody knows
    assert "drifted: confidence" in told["steps"][4]["told"]
    assert "Horror 0.93" in told["steps"][2]["told"]
    assert any("times are those of pages" in gap for gap in told["gaps"])
    shown = offline.run("story", house.title_id).stdout
    assert "60 min from the first step to the last" in shown
    assert "Comedy, by shop" in shown


def test_a_record_that_was_refused_has_a_story_by_its_address(offline: Any) -> None:
    house = House(offline)
    house.refuse("TitleIncomplete")
    house.predict(title_id=None)  # is of no title, and so not of this one
    for asked in (house.page.url, f"demo:{house.source_id}"):
        told = house.told(asked)
        assert told["title_id"] is None
        assert [(step["service"], step["what"]) for step in told["steps"]] == [
            ("scraper", "scraped"),
            ("cleaner", "refused"),
        ]
        assert told["steps"][1]["told"] == "TitleIncomplete: it has no name"


@pytest.mark.parametrize(
    "by", ["title_id", "url", "source:id", "name", "part of a name", "prediction"]
)
def test_a_title_is_found_by_all_that_it_is_called(offline: Any, by: str) -> None:
    house = House(offline)
    house.list_title(name="Les Misérables 1972")
    asked = {
        "title_id": house.title_id,
        "url": house.page.url,
        "source:id": f"demo:{house.source_id}",
        "name": "les MISERABLES 1972",
        "part of a name": "miserables",
        "prediction": house.predict() if by == "prediction" else "",
    }[by]
    assert house.told(asked)["title_id"] == house.title_id


def test_several_titles_are_listed_and_none_is_taken(offline: Any) -> None:
    first, second = House(offline), House(offline)
    first.list_title(name="Dark")
    second.list_title(name="Dark Water")
    said = offline.run("story", "ark", status=2).stderr
    assert first.title_id in said
    assert second.title_id in said
    assert "2 titles could be meant by 'ark'" in said
    assert first.told("dark")["title_id"] == first.title_id  # as it is called, letter by letter


def test_what_several_sources_tell_of_is_one_title(offline: Any) -> None:
    first, second = House(offline), House(offline)
    for house in (first, second):
        house.list_title(name="Dark")
        house.insert(
            identities,
            {"title_id": house.title_id, "merged_id": first.title_id, "resolution": 1},
        )
    assert second.told("dark")["title_id"] in (first.title_id, second.title_id)


@pytest.mark.parametrize(
    "asked", ["nobody", "%", "http://films.example/nothing", "0b5f3c1e-0000-4000-8000-000000000000"]
)
def test_what_nobody_knows_is_not_found(offline: Any, asked: str) -> None:
    House(offline).keep()
    assert "no title" in offline.run("story", asked, status=3).stderr


def test_what_is_left_out_is_told(offline: Any) -> None:
    house = House(offline)
    house.list_title()
    for _ in range(21):
        house.predict()
    told = house.told()
    assert len(told["steps"]) == 20
    assert "of predictions only the newest 20 are told" in told["gaps"]


def test_a_prediction_about_a_text_has_no_title(offline: Any) -> None:
    prediction = House(offline).predict(title_id=None)
    assert "is about a text" in offline.run("story", prediction, status=3).stderr


def test_a_catalog_that_does_not_answer_is_status_4(offline: Any) -> None:
    offline.env["CATALOG_URL"] = "postgresql+asyncpg://clerk:secret@127.0.0.1:1/films"
    assert "secret" not in offline.run("story", "Alien", status=4).stderr


def test_only_what_the_cleaner_changed_is_told_as_changed() -> None:
    raw = a_title_scraped(name="Alien", kind="Movie", genres=("Horror", "Comedy"), year="1979")
    clean = a_title_cleaned(
        name="Alien",
        kind="film",
        genres=("Comedy", "Horror"),
        year=1979,
        plot=raw.title.plot,
        language=raw.title.language,
        countries=raw.title.countries,
        rating_count=None,
    )
    assert changes(raw, clean).get("kind") == ("Movie", "film")
    assert {"name", "genres", "year", "plot", "countries"}.isdisjoint(changes(raw, clean))
