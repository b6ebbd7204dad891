"""Known good sets from a file of `baseline.pinned` events, for recordings that hold none."""

from pathlib import Path

from rollbackd.app.backtest.recording import UnreadableError
from rollbackd.events import native
from rollbackd.model.events import KnownGood, Rejected


def read_known_good(path: Path, *, now_ms: int) -> list[KnownGood]:
    """The sets of a file: one event, a JSON array of them, or one a line.

    Raises UnreadableError, also when the file holds no such event.
    """
    try:
        batch = native.decode(path.read_bytes(), now_ms=now_ms)
    except OSError as error:
        raise UnreadableError(f"cannot read `{path}`: {error.strerror}") from None
    except Rejected as rejected:
        raise UnreadableError(f"{path}: {rejected}") from None
    if not batch.known_good:
        raise UnreadableError(f"{path}: there is no `baseline.pinned` event in this file")
    return batch.known_good
