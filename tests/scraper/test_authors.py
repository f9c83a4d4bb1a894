"""Authors keep their names to themselves."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trending_scraper.authors import KEY_FILE, Authors, author_key
from trending_shared.errors import SettingInvalid

AUTHORS = Authors(b"a key of this test")


def test_one_author_has_one_hash_however_the_name_is_spaced_or_cased() -> None:
    hashes = {
        AUTHORS.hash("demo", name) for name in ("Tidal Moth", " tidal  moth", "ＴＩＤＡＬ moth")
    }
    assert len(hashes) == 1
    assert len(hashes.pop()) == 64


def test_hashes_differ_by_author_source_and_key() -> None:
    assert (
        len(
            {
                AUTHORS.hash("demo", "tidal_moth"),
                AUTHORS.hash("demo", "net_cord"),
                AUTHORS.hash("other", "tidal_moth"),
                Authors(b"another key").hash("demo", "tidal_moth"),
            }
        )
        == 4
    )


@pytest.mark.parametrize("identifier", ["alien-1979-tidal_moth", "/users/Tidal_Moth/1"])
def test_an_identifier_that_gives_its_author_away_is_hashed(identifier: str) -> None:
    hidden = AUTHORS.without_name(identifier, "tidal_moth")
    assert "moth" not in hidden.lower()
    assert hidden == AUTHORS.without_name(identifier, "tidal_moth")
    assert hidden != AUTHORS.without_name(identifier + "2", "tidal_moth")


def test_any_other_identifier_stays() -> None:
    assert AUTHORS.without_name("r1", "tidal_moth") == "r1"
    assert AUTHORS.without_name("r1", None) == "r1"


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    key = author_key(home)
    assert len(key) == 32
    assert author_key(home) == key
    assert author_key(tmp_path / "elsewhere") != key
    assert stat.S_IMODE((home / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == [KEY_FILE]


def test_a_key_file_without_a_key_is_told(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("oops")
    with pytest.raises(SettingInvalid, match=KEY_FILE):
        author_key(tmp_path)


def test_all_who_make_the_key_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(author_key, [tmp_path] * 32))
    assert len(keys) == 1
