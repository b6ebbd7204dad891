"""What a mapping leaves of one event, and what it looks for in vain: for whoever writes one."""

import re
from collections.abc import Iterator
from typing import Any, Final

from rollbackd.events.mapping.description import Description, Source
from rollbackd.events.mapping.getters import raw_getter
from rollbackd.events.mapping.paths import Path
from rollbackd.events.mapping.reading import MappingFile
from rollbackd.model.events import Rejected

_SHORT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def unread(file: MappingFile, event: Any) -> list[str]:
    """The paths of all that the event says and no path of the mapping names."""
    read = {steps for entry in file.entries for steps in _steps(entry)}
    return [text for steps, text in _leaves(event, (), "$") if not _named(steps, read)]


def missed(entry: Description, event: Any, absent: frozenset[str]) -> dict[str, str]:
    """Place in the native event -> the paths where nothing is; items of `each` are left out."""
    found: dict[str, str] = {}
    for source in _sources(entry):
        if not source.paths or any(path.of_item for path in source.paths):
            continue
        plain = Source(place=source.place, paths=source.paths)
        try:
            if raw_getter(plain, absent)(event, None) is None:
                found[source.place] = source.shown
        except Rejected:  # something is there
            continue
    return found


def _sources(entry: Description) -> Iterator[Source]:
    single = (entry.time, entry.service, entry.region, entry.arm, entry.code)
    yield from (source for source in single if source is not None)
    for many in (entry.values, entry.labels, entry.pins, entry.fact):
        yield from many.values()


def _steps(entry: Description) -> Iterator[tuple[str | int, ...]]:
    paths: list[Path] = [path for source in _sources(entry) for path in source.paths]
    paths += [condition.path for condition in entry.when]
    yield from (path.steps for path in paths if not path.of_item)
    if entry.each is not None:
        yield entry.each.steps


def _named(steps: tuple[str | int, ...], read: set[tuple[str | int, ...]]) -> bool:
    """Whether a path leads here, or to something that this is a part of."""
    return any(steps[:length] in read for length in range(len(steps) + 1))


def _leaves(
    value: Any, steps: tuple[str | int, ...], text: str
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            shown = f".{key}" if _SHORT.fullmatch(key) else f"[{_quoted(key)}]"
            yield from _leaves(inner, (*steps, key), text + shown)
    else:
        yield steps, text


def _quoted(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
