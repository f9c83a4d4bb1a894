"""Authors keep their names to themselves."""

import hmac
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from trending_scraper.app import hash_keys
from trending_scraper.authors import KEY_FILE, Authors, author_keys
from trending_scraper.settings import ScraperSettings
from trending_shared.errors import SettingInvalid
from trending_shared.events import AUTHOR_HASH
from trending_shared.settings import read_settings

AUTHORS = Authors(b"a key of this test")


def test_one_author_has_one_hash_however_the_name_is_spaced_or_cased() -> None:
    hashes = {
        AUTHORS.hash("demo", name) for name in ("Tidal Moth", " tidal  moth", "ＴＩＤＡＬ moth")
    }
    assert len(hashes) == 1
    assert len(hashes.pop()) <= 64  # a column of the catalog


def test_whatever_the_key_a_hash_has_the_form_that_others_expect() -> None:
    for form in Authors(b"the key of today", b"the one before").hashes("demo", "tidal_moth"):
        assert re.fullmatch(AUTHOR_HASH, form)


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
    (key,) = author_keys(home)
    assert len(key) == 32
    assert author_keys(home) == (key,)
    assert author_keys(tmp_path / "elsewhere") != (key,)
    assert stat.S_IMODE((home / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("text", ["oops", "", "abcd"])
def test_a_key_file_without_a_key_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / KEY_FILE).write_text(text)
    with pytest.raises(SettingInvalid, match=KEY_FILE):
        author_keys(tmp_path)


def test_all_who_make_the_key_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(author_keys, [tmp_path] * 32))
    assert len(keys) == 1


# ---------------------------------------------------------------- a key that was replaced

OLD, NEW = b"a key that leaked once", b"a key from now on"


def test_a_new_key_gives_the_same_person_another_hash_and_says_that_it_did() -> None:
    before, after = Authors(OLD).hash("demo", "moth"), Authors(NEW, OLD).hash("demo", "moth")
    assert before != after
    assert before.split(":")[0] != after.split(":")[0]
    assert Authors(NEW).hash("demo", "moth") == after


def test_what_somebody_wrote_is_found_under_every_key_that_was_kept() -> None:
    ring = Authors(NEW, OLD)
    written = {Authors(key).hash("demo", "moth") for key in (OLD, NEW)}
    from_before_keys_had_ids = hmac.digest(OLD, b"author\x1fdemo\x1fmoth", "sha256").hex()
    assert {*written, from_before_keys_had_ids} <= set(ring.hashes("demo", " Moth "))
    assert not set(ring.hashes("demo", "moth")) & set(ring.hashes("demo", "heron"))


def test_a_hash_tells_nothing_of_its_key() -> None:
    assert OLD.hex()[:6] not in Authors(OLD).hash("demo", "moth")
    assert OLD.decode()[:6] not in Authors(OLD).hash("demo", "moth")


def test_a_key_file_may_hold_the_old_keys_below_the_new_one(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text(f"{NEW.hex()}\n{OLD.hex()}\n")
    assert author_keys(tmp_path) == (NEW, OLD)


def test_old_keys_come_from_the_settings_too(tmp_path: Path) -> None:
    settings = ScraperSettings(
        trending_home=tmp_path,
        author_hash_key=SecretStr(NEW.decode()),
        author_hash_old_keys=f"{OLD.decode()}, another key of old times",
    )
    assert hash_keys(settings) == (NEW, OLD, b"another key of old times")
    assert OLD.decode() not in repr(settings)


def test_an_old_key_that_is_too_short_is_told_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCRAPER_AUTHOR_HASH_OLD_KEYS", "hunter2")
    with pytest.raises(SettingInvalid, match="SCRAPER_AUTHOR_HASH_OLD_KEYS") as told:
        read_settings(ScraperSettings)
    assert "hunter2" not in str(told.value)
