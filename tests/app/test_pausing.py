"""The pause by a local file."""

import os
from pathlib import Path

import pytest

from rollbackd.app.pausing import PauseFile
from rollbackd.ports import Pause


@pytest.fixture
def file(tmp_path: Path) -> PauseFile:
    return PauseFile(tmp_path / "state" / "PAUSED")


def test_without_the_file_there_is_no_pause(file: PauseFile) -> None:
    """Nor without its folder, or where the folder is a file."""
    assert file.read() is None
    file.path.parent.write_text("")
    assert file.read() is None


def test_the_content_is_the_reason_and_its_age_the_beginning(file: PauseFile) -> None:
    """Written by hand or by the command."""
    file.write("index rebuild")
    os.utime(file.path, (1_790_000_000, 1_790_000_000))
    assert file.read() == Pause(
        reason="index rebuild", by=f"file {file.path}", since_ms=1_790_000_000_000
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is there"), (b" \n", "is there"), (b"\xff\xfe", "\ufffd\ufffd"), (b"x" * 9_999, "xxx")],
)
def test_any_file_pauses(file: PauseFile, content: bytes, reason: str) -> None:
    """Empty, not text, or far too long."""
    file.path.parent.mkdir()
    file.path.write_bytes(content)
    pause = file.read()
    assert pause is not None
    assert reason in pause.reason
    assert len(pause.reason) <= 1_000


def test_what_cannot_be_read_pauses(file: PauseFile) -> None:
    """A folder of this name: somebody meant something by it."""
    file.path.mkdir(parents=True)
    pause = file.read()
    assert pause is not None
    assert "cannot be read: Is a directory" in pause.reason


def test_it_is_removed_once(file: PauseFile) -> None:
    """And then there is nothing to remove."""
    file.write("x")
    assert file.remove()
    assert not file.remove()
    assert file.read() is None
