"""Topics made anew under old tables are told before their records are taken for known ones."""

import asyncio
from typing import Any

import pyarrow as pa
import pytest

from trending_cli.house import running_house
from trending_cli.recreated import recreated_topics
from trending_shared.events import ReviewScraped, TitleScraped
from trending_shared.messages import Position, first_message
from trending_shared.tables import OffsetTable
from trending_shared.testing import a_title_scraped

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]

FAR = 10**9  # an offset that no topic of these tests comes to
TITLES = pa.schema([("event_id", pa.string())])


def record(terminal: Any, *places: Position) -> None:
    """Have a table hold the records at these places."""
    terminal.home.mkdir(exist_ok=True)
    table = OffsetTable(terminal.settings.store, "titles", schema=TITLES, owner="cleaner")
    table.append([(place, {"event_id": str(place)}) for place in places])


def test_tables_within_their_topics_are_fine(terminal: Any) -> None:
    assert asyncio.run(recreated_topics(terminal.settings)) == []
    terminal.publish(*(first_message(a_title_scraped()) for _ in range(20)))
    newest = terminal.json("topics", "tail", TitleScraped.topic, "-n", 1)
    record(terminal, Position(TitleScraped.topic, newest["partition"], newest["offset"]))
    assert asyncio.run(recreated_topics(terminal.settings)) == []
    told = {each["what"]: each for each in terminal.json("doctor")}
    assert told["topics"]["ok"]


def test_doctor_names_the_topics_and_what_to_do(terminal: Any) -> None:
    record(terminal, Position(TitleScraped.topic, 2, FAR), Position(ReviewScraped.topic, 0, FAR))
    told = {each["what"]: each for each in terminal.json("doctor", status=1)}
    assert not told["topics"]["ok"]
    said = told["topics"]["found"]
    assert f"{ReviewScraped.topic}, {TitleScraped.topic}" in said
    assert f"Remove the folder {terminal.home}, or set TRENDING_HOME" in said


def test_the_house_warns_when_it_starts(
    terminal: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record(terminal, Position(TitleScraped.topic, 0, FAR))
    for name, value in terminal.env.items():
        monkeypatch.setenv(name, value)
    with running_house(terminal.home, services=()):
        pass
    said = capsys.readouterr().err
    assert said.startswith("warning: Kafka at")
    assert TitleScraped.topic in said
