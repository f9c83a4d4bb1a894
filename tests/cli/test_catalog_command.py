"""`trending catalog`: which tables there are, and bringing them up to date."""

from typing import Any

import pytest

from trending_shared.migrations import newest


def test_a_new_catalog_has_no_tables_until_it_is_migrated(offline: Any) -> None:
    before = offline.json("catalog", "status")
    assert (before["revision"], before["newest"]) == (None, newest())
    assert "no tables" in offline.run("catalog", "status").stdout
    assert offline.json("catalog", "migrate")["revision"] == newest()
    assert offline.json("catalog", "migrate")["revision"] == newest()
    assert "the newest" in offline.run("catalog", "status").stdout


def test_a_password_of_the_catalog_is_shown_to_nobody(
    offline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATALOG_URL", "postgresql+asyncpg://ada:hunter2@127.0.0.1:9/trending")
    said = offline.run("catalog", "status", status=4)
    assert "hunter2" not in said.stdout + said.stderr
