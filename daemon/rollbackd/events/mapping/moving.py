"""Moves the times of an event where a mapping finds them, so that it can be played at another time.

What is written back is as it was: text stays text, milliseconds stay milliseconds.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rollbackd.events.mapping.description import Description, Source, TimeFormat
from rollbackd.events.mapping.getters import PER_SECOND, moment
from rollbackd.events.mapping.paths import Path, compile_path
from rollbackd.events.timestamps import event_time

#: A time in milliseconds since the epoch -> another.
Move = Callable[[int], int]

_ANY_TIME_MS = 1 << 50


def immovable(entries: Iterable[Description]) -> str:
    """What stands in the way of moving the events of these entries, or an empty text."""
    for entry in entries:
        if entry.time is None:
            return f"the entry `{entry.event}` has no `time`: nothing says when its events were"
        if entry.time.words is not None:
            return f"the `time` of the entry `{entry.event}` goes through `map`, with no way back"
    return ""


def move(
    event: dict[str, Any], entries: Iterable[Description], absent: frozenset[str], to: Move
) -> None:
    """Move every time that these entries read, each place once. Raises Rejected."""
    done: set[tuple[int, str | int]] = set()
    for entry in entries:
        items = (None,) if entry.each is None else compile_path(entry.each)(event, None) or ()
        for item in items:
            assert entry.time is not None
            place = _first(entry.time.paths, event, item, absent)
            if place is None or (id(place[0]), place[1]) in done:
                continue
            container, key = place
            container[key] = _moved(entry.time, container[key], to)
            done.add((id(container), key))


def _first(
    paths: Sequence[Path], event: Any, item: Any, absent: frozenset[str]
) -> tuple[Any, str | int] | None:
    """The container and the key of the first path that is there."""
    for path in paths:
        found = compile_path(path)(event, item)
        if found is not None and not (isinstance(found, str) and found in absent) and path.steps:
            outer = path._replace(steps=path.steps[:-1])
            root = item if path.of_item else event
            return (compile_path(outer)(event, item) if outer.steps else root), path.steps[-1]
    return None


def _moved(source: Source, found: Any, to: Move) -> Any:
    read = moment(source, found, source.format)
    time_ms = to(event_time(read, now_ms=_ANY_TIME_MS))
    if isinstance(read, datetime):
        said = datetime.fromtimestamp(time_ms / 1_000, UTC).isoformat(timespec="milliseconds")
        return said.replace("+00:00", "Z")
    if source.format in {TimeFormat.AUTO, TimeFormat.UNIX}:
        value: float = time_ms / 1_000
    else:
        value = time_ms * PER_SECOND[source.format] // 1_000
    return str(value) if isinstance(found, str) else value
