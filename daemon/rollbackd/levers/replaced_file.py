"""A file that is replaced as a whole: by a rename, under a lock, and only if it is as it was read.

Whoever reads it sees the old text or the new one, never a part. Those who write it by the same way
wait for each other by a lock on the folder (a lock on the file would go with the file). An editor
that knows no lock is noticed when it wrote before the rename; what it writes between the last look
and the rename, some microseconds, is lost.
"""

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from rollbackd.errors import PermanentError, TemporaryError

#: More than this is no definition of flags.
MAX_BYTES: Final = 16 << 20
_LOCK_DELAY_MS: Final = 100
_MAY_PASS: Final = frozenset({errno.EINTR, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT, errno.EIO})


def read_text(path: Path) -> str:
    """What is in the file. Raises PermanentError for one that is missing, odd or not UTF-8."""
    with _os_errors(path):
        text, _ = _read(path)
    return text


def replace_text(path: Path, edit: Callable[[str], str]) -> None:
    """Put what `edit` makes of the text in its place; mode and owner stay, a link stays a link.

    `edit` may raise, and then nothing has changed. Raises TemporaryError while somebody else
    writes, PermanentError when it cannot be written.
    """
    with _os_errors(path):
        path = path.resolve(strict=True)
        with _locked(path.parent):
            text, seen = _read(path)
            _write(path, edit(text).encode(), seen)


def why_not_replaceable(path: Path) -> str:
    """Why `replace_text` would be refused, or nothing."""
    try:
        path = path.resolve(strict=True)
        seen = path.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if not os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True):
        return f"{path.parent}: no permission to write in the folder"
    own = seen.st_uid == os.geteuid() and seen.st_gid in {os.getegid(), *os.getgroups()}
    if not own and os.geteuid() != 0:
        return f"{path}: belongs to {seen.st_uid}:{seen.st_gid}, which could not be kept"
    return ""


def _read(path: Path) -> tuple[str, os.stat_result]:
    with path.open("rb") as file:
        seen = os.fstat(file.fileno())
        if not stat.S_ISREG(seen.st_mode):
            raise PermanentError(f"{path}: not a plain file")
        found = file.read(MAX_BYTES + 1)
    if len(found) > MAX_BYTES:
        raise PermanentError(f"{path}: over {MAX_BYTES} bytes")
    try:
        return found.decode(), seen
    except UnicodeDecodeError:
        raise PermanentError(f"{path}: not UTF-8") from None


def _write(path: Path, content: bytes, seen: os.stat_result) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            made = os.fstat(descriptor)
            if (made.st_uid, made.st_gid) != (seen.st_uid, seen.st_gid):
                os.fchown(descriptor, seen.st_uid, seen.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(seen.st_mode))
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        _check_untouched(path, seen)
        fresh.replace(path)
    finally:
        # after the rename there is nothing left by this name
        fresh.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _check_untouched(path: Path, seen: os.stat_result) -> None:
    if _identity(path.stat()) != _identity(seen):
        raise TemporaryError(f"{path}: somebody else wrote it", delay_ms=_LOCK_DELAY_MS)


def _identity(seen: os.stat_result) -> tuple[int, int, int, int]:
    return seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_size


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TemporaryError(
                f"{folder}: locked by somebody who writes", delay_ms=_LOCK_DELAY_MS
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{path}: {error.strerror}"
        if error.errno in _MAY_PASS:
            raise TemporaryError(message) from None
        if error.errno == errno.EBUSY:
            message += "; it is mounted by itself: mount its folder instead"
        raise PermanentError(message) from None
