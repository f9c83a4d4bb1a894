"""Keys as they are made, kept and read again."""

import hashlib
import re
from datetime import UTC, date, datetime

import pytest

from trending_shared.api_keys import LENGTH, ApiKey, Scope, hash_key, parse_keys

HASH = "ab" * 32


def test_a_key_is_long_random_and_recognised_by_what_is_kept_of_it() -> None:
    made = [ApiKey.create("shop", [Scope.READ]) for _ in range(10)]
    assert len({key for key, _ in made}) == 10
    for key, kept in made:
        assert re.fullmatch(r"tn_[A-Za-z0-9_-]{43}", key)
        assert len(key) == LENGTH
        assert kept.digest == hash_key(key.encode()) == hashlib.sha256(key.encode()).digest()
        assert key not in f"{kept!r} {kept.line}"
        assert kept.digest.hex() not in repr(kept)


@pytest.mark.parametrize(
    "line",
    [
        f"shop:read:{HASH}",
        f"shop:read+predict+operate:{HASH}",
        f"night-shift_2:operate:{HASH}:2027-01-31",
    ],
)
def test_a_line_is_what_was_read_from_it(line: str) -> None:
    assert ApiKey.parse(line).line == line


def test_scopes_have_one_order_however_they_are_given() -> None:
    _, kept = ApiKey.create("shop", [Scope.OPERATE, Scope.READ, Scope.READ])
    assert kept.line.startswith("shop:read+operate:")
    assert ApiKey.parse(f" shop:operate+read:{HASH} ").line == f"shop:read+operate:{HASH}"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "shop",
        f"shop:{HASH}",
        f":read:{HASH}",
        f"Shop:read:{HASH}",
        f"anonymous:read:{HASH}",
        f"{'a' * 65}:read:{HASH}",
        f"shop::{HASH}",
        f"shop:own:{HASH}",
        f"shop:read+:{HASH}",
        f"shop:READ:{HASH}",
        "shop:read:",
        f"shop:read:{HASH[:-1]}",
        f"shop:read:{HASH.upper()}",
        f"shop:read:{HASH}:tomorrow",
        f"shop:read:{HASH}:2027-02-30",
        f"shop:read:{HASH}:2027-01-31:more",
        f"shop:read:{HASH}:20270131",
        f"tn_{'a' * 43}",
    ],
)
def test_what_is_no_line_is_refused_and_not_repeated(line: str) -> None:
    with pytest.raises(ValueError, match="key 2: ") as refused:
        parse_keys(f"shop:read:{'cd' * 32},{line or 'x'}")
    said = str(refused.value)
    assert HASH[:8] not in said.lower()
    assert "aaaa" not in said


def test_a_name_may_have_two_keys_and_a_hash_one_line() -> None:
    both = parse_keys(f"shop:read:{HASH}, shop:read+predict:{'cd' * 32} ,")
    assert [key.name for key in both] == ["shop", "shop"]
    with pytest.raises(ValueError, match="key 2: its hash is there already"):
        parse_keys(f"shop:read:{HASH},other:predict:{HASH}")
    assert parse_keys(" ") == ()


def test_a_key_is_good_to_the_end_of_its_last_day() -> None:
    key = ApiKey("shop", frozenset(Scope), bytes.fromhex(HASH), date(2026, 11, 1))
    assert not key.expired(datetime(2026, 11, 1, 23, 59, 59, tzinfo=UTC))
    assert key.expired(datetime(2026, 11, 2, tzinfo=UTC))
    assert not ApiKey("shop", frozenset(Scope), bytes(32)).expired(datetime.max.replace(tzinfo=UTC))
