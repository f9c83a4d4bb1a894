"""The table `pages`: a row for each page that came, and for each that was said to be the same."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from prometheus_client import CollectorRegistry

from trending_cleaner.metrics import CleanerMetrics
from trending_cleaner.pages import PAGES, Pages
from trending_shared.erasures import Erasures
from trending_shared.events import PageFetched, PageUnchanged
from trending_shared.messages import Message, Position
from trending_shared.storage import ObjectStore
from trending_shared.tables import OffsetTable
from trending_shared.testing.builders import a_page

URL = "http://films.example/titles/alien-1979"
SEEN = datetime(2026, 11, 2, 12, tzinfo=UTC)


def test_pages_are_kept_once_with_what_it_takes_to_read_them_anew(tmp_path: Path) -> None:
    table = OffsetTable(tmp_path.as_uri(), "pages", schema=PAGES, owner="cleaner")
    pages = Pages(
        table,
        erasures=Erasures(ObjectStore.at(tmp_path.as_uri())),
        metrics=CleanerMetrics(CollectorRegistry()),
    )
    job, story = uuid4(), uuid4()
    fetched = PageFetched(source="demo", url=URL, kind="detail", page=a_page(), charset="utf-8")
    unchanged = PageUnchanged(source="demo", url=URL, kind="detail", page=a_page(), seen_at=SEEN)
    come = Message(fetched, uuid4(), story, job, position=Position("pages-fetched", 2, 7))
    same = Message(unchanged, uuid4(), story, job, position=Position("pages-unchanged", 2, 3))
    for _ in range(2):
        assert pages.on_pages_fetched([come]) == []
        assert pages.on_pages_unchanged([same]) == []
    first, second = table.read().sort_by("outcome").to_pylist()
    assert (first["outcome"], first["charset"], first["seen_at"]) == ("fetched", "utf-8", None)
    assert (first["partition"], first["offset"]) == (2, 7)
    assert (first["causation_id"], first["correlation_id"]) == (str(job), str(story))
    assert (first["page_key"], first["fetched_at"]) == (a_page().key, a_page().fetched_at)
    assert (second["outcome"], second["charset"], second["seen_at"]) == ("unchanged", None, SEEN)
