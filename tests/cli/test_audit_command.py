"""`trending audit`: one entry altered by hand is named."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trending_cli.main import app
from trending_shared.audit import AuditLog, Fact
from trending_shared.storage import ObjectStore

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setenv("TRENDING_HOME", str(tmp_path))
    store = ObjectStore.at((tmp_path / "store").as_uri())
    log = AuditLog(store)
    for number, kind in enumerate(["models-refused", "services-configured", "models-refused"]):
        reasons = ("[red]slow\x1b[2J",)
        log.append(
            Fact(id=f"{number}", kind=kind, subject="genres", at=NOON, by="test", reasons=reasons)
        )
    return store


def told(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["audit", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == status, result.output
    return result.output


def test_a_log_that_is_intact_says_so_and_tells_its_head(store: ObjectStore) -> None:
    verdict = json.loads(told("verify", "--json"))
    assert (verdict["intact"], verdict["entries"], verdict["problems"]) == (True, 3, [])
    assert f"3:{verdict['head']}" in told("verify")
    told("verify", "--anchor", f"3:{verdict['head']}")
    store.delete("audit/00000003.json")
    assert "had 3 entries" in told("verify", "--anchor", f"3:{verdict['head']}", status=1)


def test_a_flipped_byte_is_named_by_its_entry(store: ObjectStore) -> None:
    content = bytearray(store.get("audit/00000002.json"))
    content[40] ^= 1
    store.put("audit/00000002.json", bytes(content))
    assert "entry 2" in told("verify", status=1)
    [problem] = json.loads(told("verify", "--json", status=1))["problems"]
    assert problem["number"] == 2


def test_entries_are_listed_by_kind_and_shown_whole(store: ObjectStore) -> None:
    listed = json.loads(told("list", "--kind", "models-refused", "--json"))
    assert [entry["number"] for entry in listed] == [1, 3]
    table = told("list", "--limit", "1")
    assert "[red]slow" in table
    assert "\x1b[2J" not in table
    assert json.loads(told("show", "2"))["kind"] == "services-configured"
    told("show", "9", status=3)


def test_an_anchor_that_is_none_is_refused(store: ObjectStore) -> None:
    told("verify", "--anchor", "3:abc", status=2)
