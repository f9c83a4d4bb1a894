"""`trending keys create`: a key for a caller of the gateway, and what the gateway is told."""

from datetime import UTC, datetime, timedelta
from typing import Any

from trending_shared.api_keys import Scope, hash_key, parse_keys


def test_the_key_and_its_line_belong_together(offline: Any) -> None:
    made = offline.json("keys", "create", "shop", "--scope", "predict", "--scope", "read")
    assert made["scopes"] == ["read", "predict"]
    assert made["last_day"] is None
    (kept,) = parse_keys(made["line"])
    assert kept.digest == hash_key(made["key"].encode())
    assert kept.name == "shop"
    assert kept.scopes == {Scope.READ, Scope.PREDICT}


def test_a_person_sees_both_on_lines_of_their_own_and_nothing_is_kept(offline: Any) -> None:
    said = offline.run("keys", "create", "shop", "--scope", "operate", "--days", "90")
    key, line = said.stdout.splitlines()
    (kept,) = parse_keys(line)
    assert kept.digest == hash_key(key.encode())
    assert kept.last_day is not None
    assert kept.last_day - (datetime.now(UTC).date() + timedelta(days=90)) <= timedelta()
    assert key not in said.stderr
    assert not offline.home.exists()


def test_two_keys_of_one_name_can_be_set_together(offline: Any) -> None:
    lines = [offline.json("keys", "create", "shop", "--scope", "read")["line"] for _ in range(2)]
    assert len(parse_keys(",".join(lines))) == 2
