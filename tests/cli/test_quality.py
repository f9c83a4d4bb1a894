"""The quality report: silent about good tables, and each planted fault found."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from trending_cleaner.schemas import REJECTS, REVIEWS, TITLES
from trending_cli.quality.languages import detect_language
from trending_cli.quality.material import (
    Material,
    frame,
    last_snapshot,
    manifests,
    read_snapshot,
    read_tables,
)
from trending_cli.quality.page import write_page
from trending_cli.quality.report import Check, Report
from trending_cli.quality.reporting import make_report
from trending_featurizer.datasets import Datasets
from trending_featurizer.metrics import FeaturizerMetrics
from trending_shared.clock import FrozenClock
from trending_shared.events import DatasetRequested
from trending_shared.genres import GENRES
from trending_shared.messages import Position, first_message
from trending_shared.sources import read_catalogue
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable, table_uri

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LICENSE = "LicenseRef-trending-demo"
CATALOGUE = read_catalogue()
Rows = list[dict[str, Any]]


def a_row(number: int, **changes: Any) -> dict[str, Any]:
    """What every row has."""
    return {
        "source": "demo",
        "source_id": f"title-{number}",
        "title_id": f"t_{number:016x}",
        "license": LICENSE,
        "content_hash": f"{number:016x}",
        "page_url": f"http://films.example/titles/title-{number}",
        "page_hash": "ab" * 32,
        "page_key": "raw/ab/abab.gz",
        "fetched_at": NOW - timedelta(hours=2),
        "event_id": str(UUID(int=number)),
        "correlation_id": str(UUID(int=1)),
        "code_version": "1",
        **changes,
    }


def a_title(number: int, **changes: Any) -> dict[str, Any]:
    fields = {
        "name": f"The house number {number}",
        "kind": ("film", "show")[number // len(GENRES) % 2],
        "year": 1980 + number % 40,
        "genres": [GENRES[number % len(GENRES)]],
        "unknown_genres": [],
        "plot": f"Nobody expected visitor {number} of that winter, least of all the landlord.",
        "countries": ["United Kingdom"],
        "language": "English",
        "runtime_minutes": 90 + number % 40,
        "rating": 0.7,
        "rating_count": 3,
        "popularity": [{"day": date(2026, 10, 31), "count": 12}],
    }
    return a_row(number, **(fields | changes))


def a_review(number: int, **changes: Any) -> dict[str, Any]:
    fields = {
        "review_id": f"r_{number:016x}",
        "author_hash": "k0a1b2c:" + "cd" * 24,
        "text": f"I have seen it {number} times by now and would gladly go again tomorrow.",
        "rating": 0.9,
        "day": date(2026, 10, 20),
        "language": "en",
        "event_id": str(UUID(int=1_000_000 + number)),
    }
    return a_row(number, **(fields | changes))


def a_reject(number: int, reason: str, **changes: Any) -> dict[str, Any]:
    fields = {"record": "title", "reason": reason, "detail": "", "rejected_at": NOW}
    return a_row(number, **(fields | changes))


@dataclass
class Shelf:
    """Rows by table; 336 titles, each genre 21 times, and a review of every other title."""

    titles: Rows = field(default_factory=lambda: [a_title(n) for n in range(336)])
    reviews: Rows = field(default_factory=lambda: [a_review(n) for n in range(0, 336, 2)])
    rejects: Rows = field(default_factory=list)

    def material(self, **changes: Any) -> Material:
        """As if read from tables."""
        return Material(
            titles=_frame(self.titles, TITLES),
            reviews=_frame(self.reviews, REVIEWS),
            rejects=_frame(self.rejects, REJECTS),
            rows={"demo": len(self.titles) + len(self.reviews)},
            **({"versions": {"titles": 1}} | changes),
        )

    def store_at(self, home: Path) -> str:
        """Real tables in an object store; its URL."""
        url = home.as_uri()
        for name, schema in (("titles", TITLES), ("reviews", REVIEWS), ("rejects", REJECTS)):
            rows = getattr(self, name)
            table = OffsetTable(url, name, schema=schema, owner="cleaner")
            table.append((Position(name, 0, n), row) for n, row in enumerate(rows))
        return url


def _frame(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> Any:
    return frame(pa.Table.from_pylist(list(rows), schema=schema))


def detect(text: str) -> str:
    """English, but for what begins in French."""
    return "fr" if text.startswith("C'est") else "en"


def report_on(material: Material, reference: Material | None = None) -> Report:
    return make_report(
        material, reference, catalogue=CATALOGUE, detect=detect, now=NOW, code_version="1"
    )


def findings(report: Report) -> list[tuple[str, str]]:
    return [(check.severity, check.name) for check in report.checks if check.severity != "passed"]


def finding(report: Report, name: str) -> Check:
    [check] = [each for each in report.checks if each.name == name and each.severity != "passed"]
    return check


def cut_dataset(url: str, at: datetime) -> str:
    """A snapshot of the tables as they are, cut by the featurizer; its id."""
    datasets = Datasets(
        ObjectStore.at(url),
        titles=table_uri(url, "titles"),
        reviews=table_uri(url, "reviews"),
        code_version="1",
        clock=FrozenClock(at),
        metrics=FeaturizerMetrics(CollectorRegistry()),
    )
    return datasets.answer(first_message(DatasetRequested(reason="a test"))).event.dataset_id


# ---------------------------------------------------------------- planted faults


def test_good_tables_leave_nothing_to_say() -> None:
    report = report_on(Shelf().material(), Shelf().material())
    assert findings(report) == []
    assert report.count("passed") == len(report.checks) > 40


Plant = Callable[[Shelf], object]


def on_titles(count: int, **changes: Any) -> Plant:
    """A fault in the first titles."""

    def plant(shelf: Shelf) -> None:
        shelf.titles[:count] = [row | changes for row in shelf.titles[:count]]

    return plant


def on_reviews(count: int, **changes: Any) -> Plant:
    def plant(shelf: Shelf) -> None:
        shelf.reviews[:count] = [row | changes for row in shelf.reviews[:count]]

    return plant


def no_crime_films(shelf: Shelf) -> None:
    for row in shelf.titles:
        if row["kind"] == "film" and row["genres"] == ["Crime"]:
            row["genres"] = ["Drama"]
    shelf.titles += [a_title(n, kind="show", genres=["Crime"]) for n in range(1000, 1021)]


def rejected(reason: str, count: int) -> Plant:
    return lambda shelf: shelf.rejects.extend(a_reject(n, reason) for n in range(count))


FAULTS: dict[str, tuple[Plant, list[tuple[str, str]]]] = {
    "a source that nobody knows": (
        lambda shelf: shelf.titles.append(a_title(999, source="pirates")),
        [("error", "unknown source")],
    ),
    "another licence": (on_titles(1, license="MIT"), [("error", "other licence")]),
    "a title without a plot": (on_titles(1, plot=""), [("error", "required missing")]),
    "no year, here and there": (on_titles(30, year=None), [("info", "missing")]),
    "a third without a language": (on_titles(112, language=None), [("warning", "missing")]),
    "no rating at all": (
        on_titles(336, rating=None, rating_count=None),
        [("error", "missing"), ("error", "missing")],
    ),
    "a year before films": (on_titles(1, year=1066), [("warning", "misfit")]),
    "many years to come": (on_titles(20, year=2066), [("error", "misfit")]),
    "a tag that is none": (on_titles(1, language="en_us.UTF-8"), [("warning", "misfit")]),
    "a country with a comma": (on_titles(1, countries=["Spain,"]), [("warning", "misfit")]),
    "a film of two days": (on_titles(1, runtime_minutes=2880), [("warning", "misfit")]),
    "eleven of ten points": (on_titles(1, rating=1.1), [("warning", "misfit")]),
    "a name from a spreadsheet": (on_titles(1, name="22-Jul"), [("warning", "misfit")]),
    "markup in a plot": (
        on_titles(1, plot="She leaves.<br>He stays behind with the cat."),
        [("warning", "misfit")],
    ),
    "views of tomorrow": (
        on_titles(1, popularity=[{"day": date(2026, 11, 2), "count": 1}]),
        [("warning", "misfit")],
    ),
    "a review of next year": (on_reviews(1, day=date(2027, 1, 1)), [("warning", "misfit")]),
    "an author's name": (on_reviews(1, author_hash="Ann Author"), [("warning", "misfit")]),
    "a genre of its own": (on_titles(1, genres=["Western"]), [("warning", "misfit")]),
    "the same but for its id": (
        on_titles(2, content_hash="ab" * 8, plot="A", name="B", year=1990, kind="film"),
        [
            *[("info", name) for name in ("same content", "same plot", "same name", "short text")],
        ],
    ),
    "a plot that two have": (
        lambda shelf: shelf.titles[1].update(plot=shelf.titles[0]["plot"].upper()),
        [("info", "same plot")],
    ),
    "a name with its language": (
        lambda shelf: shelf.titles[1].update(
            name=f"{shelf.titles[0]['name']} (Tamil)", year=shelf.titles[0]["year"]
        ),
        [("info", "same name")],
    ),
    "every review the same": (on_reviews(168, text="Good film, go and see it, all of you."),
        [("error", "same review")],
    ),
    "French plots": (
        on_titles(1, plot="C'est une histoire de famille, avec un chien et deux notaires."),
        [("info", "other language")],
    ),
    "French reviews": (
        lambda shelf: [
            row.update(text=f"C'est un film qu'il faut voir et revoir {n} fois, en somme.")
            for n, row in enumerate(shelf.reviews[:100])
        ],
        [("error", "other language")],
    ),
    "a plot of four words": (
        on_titles(1, plot="Nothing happens here, twice"),
        [("info", "short text")],
    ),
    "a plot that breaks off": (
        on_titles(1, plot="At night the lights go out all over town, and then…"),
        [("info", "cut text")],
    ),
    "letters decoded wrongly": (
        on_reviews(1, text="A cafÃ© in Paris, and nobody in it but the two of them."),
        [("warning", "broken text")],
    ),
    "no genre for a quarter": (
        on_titles(84, genres=[]),
        [("warning", "unlabelled"), ("info", "rare genre")],
    ),
    "labels that nobody knows": (
        on_titles(20, unknown_genres=["Nordic <b>Noir</b>"]),
        [("warning", "unknown label")],
    ),
    "a genre that only shows have": (
        no_crime_films,
        [("info", "genre never given")],
    ),
    "a genre that hardly any has": (
        on_titles(336, genres=["Drama"]),
        [("info", "rare genre")],
    ),
    "a tenth rejected": (rejected("TextMissing", 60), [("warning", "rejected")]),
    "many repetitions": (rejected("DuplicateTitle", 600), []),
    "a fortnight of silence": (
        lambda shelf: [
            row.update(fetched_at=NOW - timedelta(days=14))
            for row in (*shelf.titles, *shelf.reviews)
        ],
        [("warning", "age")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(fault: str) -> None:
    plant, expected = FAULTS[fault]
    shelf = Shelf()
    plant(shelf)
    found = findings(report_on(shelf.material()))
    assert sorted(found) == sorted(expected)


def test_a_finding_says_what_its_limit_is_and_shows_examples() -> None:
    shelf = Shelf()
    on_titles(1, name="22-Jul")(shelf)
    check = finding(report_on(shelf.material()), "misfit")
    assert check.limit == "warning above 0 %, error above 1 %"
    assert check.said == "1 of 336 values of title name aren't of its form (0.30 %)"
    assert check.examples == ("demo:title-0 22-Jul: 22-Jul",)


def test_what_a_source_does_not_promise_may_be_missing() -> None:
    shelf = Shelf()
    of_file = {"source": "csv", "license": "LicenseRef-own-file"}
    without: dict[str, Any] = {"rating": None, "rating_count": None, "popularity": []}
    shelf.titles = [row | of_file | without for row in shelf.titles]
    shelf.reviews = []
    report = report_on(shelf.material())
    assert findings(report) == []
    fields = {(each.record, each.field): each for each in report.sources["csv"].fields}
    rating = fields["title", "rating"]
    assert (rating.missing, rating.promised) == (336, False)


def test_two_sources_are_judged_apart_and_their_common_plots_are_seen() -> None:
    shelf = Shelf()
    shelf.titles += [
        a_title(1000 + n, source="csv", license="LicenseRef-own-file", plot=shelf.titles[n]["plot"])
        for n in range(10)
    ]
    report = report_on(shelf.material())
    assert set(report.sources) == {"csv", "demo"}
    assert report.overall.titles == 346
    assert finding(report, "same plot").source is None
    assert finding(report, "same plot").measured == pytest.approx(20 / 346, abs=1e-6)


def test_a_changed_distribution_is_drift_and_says_by_how_much() -> None:
    shelf = Shelf()
    for row in shelf.titles:
        row.update(
            year=row["year"] - 60, genres=["Drama"] if row["kind"] == "film" else row["genres"]
        )
    report = report_on(shelf.material(), Shelf().material())
    drifted = {check.about for check in report.checks if check.name.startswith("drift")
               and check.severity == "error"}  # fmt: skip
    assert drifted == {"year", "genres"}
    assert {one.feature for one in report.drift} >= {"year", "plot words", "kind", "source"}


def test_few_titles_make_no_distribution() -> None:
    shelf = Shelf(titles=[a_title(n, year=1900) for n in range(50)], reviews=[])
    assert report_on(shelf.material(), Shelf().material()).drift == ()


# ---------------------------------------------------------------- real tables and snapshots


def test_the_version_in_force_is_measured_and_all_versions_are_counted(tmp_path: Path) -> None:
    shelf = Shelf()
    older = {"fetched_at": NOW - timedelta(days=3), "year": 1066, "event_id": "e"}
    shelf.titles.append(shelf.titles[0] | older)
    signals = OffsetTable(
        tmp_path.as_uri(), "signals", schema=pa.schema([("source", pa.string())]), owner="x"
    )
    signals.append([(Position("signals", 0, n), {"source": "wikimedia"}) for n in range(3)])
    report = report_on(read_tables(shelf.store_at(tmp_path), tell=lambda text: None))
    assert findings(report) == []
    assert (report.overall.titles, report.overall.versions) == (336, 336 + 168 + 1)
    assert report.subject.tables["titles"] == 1
    assert report.other_tables == {"signals": {"wikimedia": 3}}


def test_an_event_that_has_two_rows_is_an_error(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.titles.append(dict(shelf.titles[0]))
    report = report_on(read_tables(shelf.store_at(tmp_path), tell=lambda text: None))
    assert findings(report) == [("error", "stored twice")]


def test_a_snapshot_is_compared_with_the_one_before_it(tmp_path: Path) -> None:
    url = Shelf().store_at(tmp_path)
    store = ObjectStore.at(url)
    cut_dataset(url, NOW)
    quiet = {"tell": lambda text: None}
    assert last_snapshot(store, read_tables(url, **quiet)) is None  # it is of these very rows
    new = [(Position("titles", 0, n), a_title(n, name=f"New {n}")) for n in range(336, 400)]
    OffsetTable(url, "titles", schema=TITLES, owner="cleaner").append(new)
    first = last_snapshot(store, read_tables(url, **quiet))
    assert first is not None
    cut_dataset(url, NOW + timedelta(hours=1))
    second = manifests(store)[-1]
    material = read_snapshot(store, second, **quiet)
    assert len(material.titles) == 400
    assert len(material.reviews) == 168
    assert last_snapshot(store, material) == first
    report = report_on(material, read_snapshot(store, first, **quiet))
    assert findings(report) == []
    assert report.reference is not None
    assert report.reference.rows == 336


# ---------------------------------------------------------------- the page and the document

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>{{ 7 * 7 }}'


def test_no_scraped_text_is_markup_in_the_page() -> None:
    shelf = Shelf()
    on_titles(3, name=HOSTILE, unknown_genres=[HOSTILE], plot=HOSTILE, countries=[HOSTILE])(shelf)
    shelf.rejects = [a_reject(n, HOSTILE) for n in range(99)]
    shelf.titles.append(a_title(999, source=HOSTILE, license=HOSTILE))
    page = write_page(report_on(shelf.material()))
    assert "&lt;script&gt;alert(1)" in page
    for never in ("<script", "<img", "onerror=alert(2)>{{ 49", "{{ 49 }}", "49 }}", ">49<"):
        assert never not in page.lower()


def test_the_page_needs_nothing_else_and_tells_its_plots_in_words() -> None:
    page = write_page(report_on(Shelf().material(), Shelf().material()))
    assert "default-src 'none'" in page
    for outside in ("http://", "https://", "src=", "url(", "@import", "<link"):
        assert outside not in page
    assert page.count('role="img"') == page.count('role="img" aria-label="')
    assert 'aria-label="Titles by genre and kind: ' in page


def test_the_document_keeps_its_form() -> None:
    report = report_on(Shelf().material())
    document = json.loads(report.model_dump_json())
    assert Report.model_validate(document) == report
    assert list(document) == [
        *("format", "made_at", "code_version", "subject", "reference", "checks", "overall"),
        *("sources", "drift", "other_tables"),
    ]
    assert list(document["checks"][0]) == [
        *("name", "source", "about", "severity", "measured", "limit", "said", "examples")
    ]
    assert list(document["overall"]) == [
        *("titles", "reviews", "versions", "fields", "duplicates", "texts", "labels"),
        *("licenses", "rejects", "oldest", "newest"),
    ]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A lighthouse keeper finds a letter that was never sent, and answers it.", "en"),
        ("Ein Leuchtturmwärter findet einen nie abgeschickten Brief und antwortet darauf.", "de"),
        ("Un gardien de phare trouve une lettre jamais envoyée et décide d'y répondre.", "fr"),
        ("Смотритель маяка находит письмо, которое так и не отправили, и отвечает на него.", "ru"),
        ("灯台守は、一度も送られなかった手紙を見つけ、それに返事を書くことにした。", "ja"),
    ],
)  # fmt: skip
def test_languages_are_told_apart(text: str, language: str) -> None:
    assert detect_language(text) == language


# ---------------------------------------------------------------- the command


def test_the_report_is_written_and_told(offline: Any) -> None:
    shelf = Shelf()
    for row in (*shelf.titles, *shelf.reviews):
        row["fetched_at"] = datetime.now(UTC)
    shelf.titles[0]["name"] = "22-Jul"
    shelf.store_at(offline.home / "store")
    result = offline.run("quality", "report")
    assert "misfit" in result.stdout
    assert "336 titles" in result.stderr
    assert "22-Jul" in (offline.home / "quality" / "report.html").read_text()

    out = offline.home / "out"
    told = offline.json("quality", "report", "--out", out)
    assert Report.model_validate(told).count("warning") == 1
    kept = Report.model_validate_json((out / "report.json").read_text())
    assert kept.checks[0].name == "misfit"

    offline.run("quality", "report", "--fail-on", "error")
    offline.run("quality", "report", "--fail-on", "warning", status=1)
    offline.run("quality", "report", "--fail-on", "info", status=2)
    assert "no record of tvmaze" in offline.run(
        *("quality", "report", "--source", "tvmaze"), status=3
    ).stderr.replace("\n", " ")


def test_a_snapshot_is_reported_by_its_id(offline: Any) -> None:
    url = Shelf().store_at(offline.home / "store")
    dataset_id = cut_dataset(url, NOW)
    told = offline.json("quality", "report", "--dataset", "newest")
    assert told["subject"]["dataset_id"] == dataset_id
    assert told["overall"]["reviews"] == 168
    offline.run("quality", "report", "--dataset", "0123", status=3)
    assert not (offline.home / "quality").exists()


def test_without_titles_there_is_nothing_to_report(offline: Any) -> None:
    assert "no title has been cleaned yet" in offline.run("quality", "report", status=3).stderr
    assert "no dataset" in offline.run("quality", "report", "--dataset", "newest", status=3).stderr
