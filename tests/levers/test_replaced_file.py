"""Files that are replaced as a whole."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.replaced_file import read_text, replace_text, why_not_replaceable

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flags.json"
    path.write_text("one")
    return path


def alone(file: Path) -> bool:
    """Whether no temporary file was left behind."""
    return [path.name for path in file.parent.iterdir()] == [file.name]


def test_the_whole_text_is_replaced(file: Path) -> None:
    """A reader that has the old file open still reads the old text."""
    with file.open() as old:
        replace_text(file, lambda text: text + " two")
        assert old.read() == "one"
    assert read_text(file) == "one two"
    assert alone(file)


def test_mode_stays(file: Path) -> None:
    """Also where the process would make files that others cannot read."""
    file.chmod(0o640)
    replace_text(file, lambda _: "two")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@needs_root
def test_owner_stays(file: Path) -> None:
    """Flagd's account can read it after as before."""
    os.chown(file, 4_321, 4_322)
    replace_text(file, lambda _: "two")
    assert (file.stat().st_uid, file.stat().st_gid) == (4_321, 4_322)


def test_a_link_stays_a_link(file: Path) -> None:
    """What it leads to is replaced."""
    link = file.parent / "link.json"
    link.symlink_to(file.name)
    replace_text(link, lambda _: "two")
    assert link.is_symlink()
    assert file.read_text() == "two"


def test_an_edit_that_fails_changes_nothing(file: Path) -> None:
    """And leaves nothing behind."""

    def edit(_: str) -> str:
        raise PermanentError("no")

    with pytest.raises(PermanentError, match="no"):
        replace_text(file, edit)
    assert file.read_text() == "one"
    assert alone(file)


def test_whoever_writes_meanwhile_is_not_overwritten(file: Path) -> None:
    """It may be tried again on what stands there then."""

    def edit(text: str) -> str:
        file.write_text("somebody else's")
        return text + " two"

    with pytest.raises(TemporaryError, match="somebody else"):
        replace_text(file, edit)
    assert file.read_text() == "somebody else's"
    assert alone(file)


def test_writers_wait_for_each_other(file: Path) -> None:
    """By a lock on the folder, which is let go after the write."""
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(TemporaryError, match="locked"):
            replace_text(file, lambda _: "two")
        fcntl.flock(folder, fcntl.LOCK_UN)
        replace_text(file, lambda _: "two")
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(folder)
    assert file.read_text() == "two"


@pytest.mark.parametrize("what", ["missing", "a folder", "not UTF-8"])
def test_what_is_no_text_is_refused(file: Path, what: str) -> None:
    """With the path in the message."""
    file.unlink()
    if what == "a folder":
        file.mkdir()
    elif what == "not UTF-8":
        file.write_bytes(b"\xff")
    for attempt in (lambda: read_text(file), lambda: replace_text(file, lambda text: text)):
        with pytest.raises(PermanentError, match=r"flags\.json"):
            attempt()


def test_what_could_not_be_replaced_is_known_before(file: Path) -> None:
    """A missing file here; see below for the others."""
    assert why_not_replaceable(file) == ""
    file.unlink()
    assert "flags.json" in why_not_replaceable(file)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A file of root's in a folder that everybody can enter, while the process is nobody."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "flags.json"
        file.write_text("one")
        Path(folder).chmod(0o755)
        os.seteuid(65_534)
        try:
            yield file
        finally:
            os.seteuid(0)


@needs_root
def test_a_folder_that_cannot_be_written_is_known_before(as_nobody: Path) -> None:
    """The rename would be refused."""
    assert "no permission to write" in why_not_replaceable(as_nobody)
    with pytest.raises(PermanentError, match="Permission denied"):
        replace_text(as_nobody, lambda _: "two")


@needs_root
def test_an_owner_who_could_not_be_kept_is_known_before(as_nobody: Path) -> None:
    """A file that flagd's account cannot read would be worse than none."""
    os.seteuid(0)
    as_nobody.parent.chmod(0o777)
    os.seteuid(65_534)
    assert "belongs to 0:0" in why_not_replaceable(as_nobody)
    with pytest.raises(PermanentError, match="not permitted"):
        replace_text(as_nobody, lambda _: "two")
    assert as_nobody.read_text() == "one"
    assert alone(as_nobody)
