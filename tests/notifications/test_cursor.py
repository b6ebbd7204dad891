"""The file of what was published: bounded, atomic, and never ahead of the broker."""

import json
from pathlib import Path
from typing import Any

import pytest

from rollbackd.notifications import cursor
from rollbackd.notifications.cursor import Cursor
from tests.notifications.samples import NOW


def written(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


async def test_what_is_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    first, second = Cursor(tmp_path / "f.json"), Cursor(tmp_path / "f.json")
    first.advance("INC-1", 3)
    await first.save(["INC-2"], NOW)
    await second.load()
    assert (second.published("INC-1"), second.published("INC-2")) == (3, 0)
    assert [second.unfinished(i) for i in ("INC-1", "INC-2", "INC-3")] == [True, True, False]
    assert second.as_of_ms == NOW
    assert [path.name for path in tmp_path.iterdir()] == ["f.json"]


async def test_nothing_is_written_without_news(tmp_path: Path) -> None:
    """Time alone would move past incidents that are waiting for Kafka."""
    progress = Cursor(tmp_path / "f.json")
    await progress.save(["INC-1"], NOW)
    assert not (tmp_path / "f.json").exists()


async def test_the_longest_done_are_forgotten_and_never_one_that_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursor, "_REMEMBERED", 3)
    progress = Cursor(tmp_path / "f.json")
    for number in range(5):
        progress.advance(f"INC-{number}", 1)
    progress.advance("INC-1", 2)
    await progress.save(["INC-0"], NOW)
    assert written(tmp_path / "f.json")["published"] == {"INC-0": 1, "INC-4": 1, "INC-1": 2}


async def test_a_file_of_another_version_is_not_guessed_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "f.json").write_text('{"version": 2, "published": {"INC-1": 9}}')
    progress = Cursor(tmp_path / "f.json")
    await progress.load()
    assert progress.published("INC-1") == 0
    assert progress.as_of_ms is None
    assert "unusable" in caplog.text
