"""The audit log: one chain of many writers, and nothing in it changes unseen."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trending_shared.audit import ORIGIN, AuditLog, Fact, read_entries, verify
from trending_shared.storage import ObjectStore

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore.at("memory:///")


def a_fact(number: int, **said: Any) -> Fact:
    fields: dict[str, Any] = {
        "kind": "models-refused",
        "subject": "genres",
        "at": NOON,
        "by": "test",
    } | said
    return Fact(id=f"fact {number}", **fields)


def a_log(store: ObjectStore, entries: int = 5) -> AuditLog:
    log = AuditLog(store)
    for number in range(1, entries + 1):
        log.append(a_fact(number, reasons=("not surely better",), details={"n": number}))
    return log


def test_entries_tell_the_hash_of_the_one_before_and_are_entered_once(store: ObjectStore) -> None:
    log = a_log(store)
    assert log.append(a_fact(3)) is None
    entries = [*read_entries(store)]
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[0].previous == ORIGIN
    line = store.get("audit/00000004.json").split(b"\n")[0]
    assert entries[4].previous == hashlib.sha256(line).hexdigest()
    verdict = verify(store)
    assert (verdict.intact, verdict.entries, verdict.head) == (True, 5, log.head)


def test_writers_that_know_nothing_of_each_other_make_one_chain(store: ObjectStore) -> None:
    first, second = a_log(store, 2), AuditLog(store)
    assert second.append(a_fact(1)) is None
    second.append(a_fact(7))
    entry = first.append(a_fact(8))
    assert entry
    assert entry.number == 4
    assert second.append(a_fact(8)) is None
    assert verify(store).intact


def test_of_two_that_append_at_once_the_second_goes_behind(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, other = a_log(store, 1), AuditLog(store)
    put_new = store.put_new

    def overtaken(key: str, data: bytes) -> bool:
        monkeypatch.setattr(store, "put_new", put_new)
        other.append(a_fact(2))
        return put_new(key, data)

    monkeypatch.setattr(store, "put_new", overtaken)
    entry = log.append(a_fact(3))
    assert entry
    assert entry.number == 3
    assert verify(store).intact


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(1, 5), data=st.data())
def test_whichever_byte_is_flipped_its_entry_is_named(number: int, data: st.DataObject) -> None:
    store = ObjectStore.at("memory:///")
    a_log(store)
    key = f"audit/{number:08d}.json"
    content = bytearray(store.get(key))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    store.put(key, bytes(content))
    assert {problem.number for problem in verify(store).problems} == {number}


def test_an_entry_that_was_written_anew_is_named(store: ObjectStore) -> None:
    """With a hash that fits it, so that only the next one tells."""
    a_log(store)
    line = store.get("audit/00000002.json").split(b"\n")[0].replace(b"not surely", b"surely")
    store.put(
        "audit/00000002.json", line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n"
    )
    [problem] = verify(store).problems
    assert problem.number == 2
    assert "written after" in problem.what


def test_entries_that_are_gone_are_named(store: ObjectStore) -> None:
    a_log(store)
    store.delete("audit/00000003.json")
    [problem] = verify(store).problems
    assert (problem.number, problem.what) == (3, "3 of the log is missing")


def test_a_log_that_was_cut_or_written_anew_is_found_by_what_was_kept_elsewhere(
    store: ObjectStore,
) -> None:
    log = a_log(store)
    anchor = (5, log.head)
    assert verify(store, anchor=anchor).intact
    other = ObjectStore.at("memory:///")
    a_log(other, 3)
    [cut] = verify(other, anchor=anchor).problems
    assert "had 5 entries" in cut.what
    forged, new = ObjectStore.at("memory:///"), None
    new = AuditLog(forged)
    for number in range(1, 7):
        new.append(a_fact(number))
    [changed] = verify(forged, anchor=anchor).problems
    assert changed.number == 5


@pytest.mark.parametrize("change", ["written over", "deleted"])
def test_a_document_that_changed_later_is_named_with_its_entry(
    store: ObjectStore, change: str
) -> None:
    log, key = a_log(store, 2), "aliases/genres/champion/00000001.json"
    store.put(key, b"{}")
    digest = hashlib.sha256(b"{}").hexdigest()
    log.append(a_fact(3, document=key, document_sha256=digest))
    assert verify(store).intact
    if change == "deleted":
        store.delete(key)
    else:
        store.put(key, b"{ }")
    [problem] = verify(store).problems
    assert problem.number == 3
    assert key in problem.what


def test_a_log_goes_on_behind_an_entry_that_was_altered(tmp_path: Path) -> None:
    store = ObjectStore.at(tmp_path.as_uri())
    a_log(store, 2)
    store.put("audit/00000002.json", b"nonsense")
    entry = AuditLog(store).append(a_fact(3))
    assert entry
    assert entry.number == 3
    assert {problem.number for problem in verify(store).problems} == {2}
