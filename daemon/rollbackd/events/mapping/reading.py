"""Reading a mapping file: every problem at once, with its position."""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from rollbackd.documents.reader import Document, Fields, Reader
from rollbackd.documents.yaml import compose
from rollbackd.events.envelope import MAX_VALUES, PINNED
from rollbackd.events.facts import SAID
from rollbackd.events.mapping.description import Condition, Description, Scalar, Source
from rollbackd.events.mapping.sources import FACT, LABEL, NUMBER, TEXT, TIME, SourceReader
from rollbackd.events.pins import MAX_PINS
from rollbackd.events.series import MAX_LABELS, label_name, metric_name
from rollbackd.model.events import Rejected

#: What all entries have in common may be said once, beside `events`.
_SHARED: Final = ("time", "service", "region", "arm", "labels", "pins")
_MOST_ENTRIES: Final = 50
#: Labels that an event has by other keys.
_ENVELOPE: Final = ("service", "region", "arm", "code", "__name__")


class MappingFile(NamedTuple):
    """What a mapping file says."""

    entries: tuple[Description, ...]
    #: Texts that mean that there is nothing, as `-` in access logs.
    absent: frozenset[str]


def read_mapping(text: str, *, file: str) -> MappingFile:
    """Read and check a mapping. Raises DocumentError with every problem."""
    document = Document(file, text)
    root = compose(text, file=file) or compose("{}", file=file)
    assert root is not None
    f = Reader(document, root).fields(("events", "absent", *_SHARED), required=("events",))
    none: frozenset[str] = frozenset()
    absent = f.read("absent", lambda r: frozenset(i.text_of_scalar() for i in r.items()), none)
    nothing: list[Reader] = []
    readers = f.read("events", lambda r: list(r.items()), nothing)
    if "events" in f and not 1 <= len(readers) <= _MOST_ENTRIES:
        f.problem("events", "value/range", f"`events` needs 1 to {_MOST_ENTRIES} entries")
    entries = [_Entry(reader, f) for reader in readers]
    _check_repeats(entries)
    document.raise_errors()
    return MappingFile(tuple(entry.said for entry in entries), absent)


class _Entry:
    """One entry of `events` being read."""

    def __init__(self, reader: Reader, shared: Fields) -> None:
        self._f = reader.fields(
            ("event", "when", "each", *_SHARED, "code", "values", "fact"), required=("event",)
        )
        self._shared = shared
        event = self._f.read("event", Reader.string, "")
        if event == PINNED:
            self._f.problem(
                "event",
                "mapping/fact",
                f"`{PINNED}` cannot be mapped: what rollbackd goes back to is not guessed",
                fix="record it with `rollbackd pins record`, or send the native event",
            )
        self._sources = SourceReader(has_item="each" in self._f)
        self.values: dict[str, Reader] = {}
        each = self._f.get("each")
        self.said = Description(
            event=event,
            when=tuple(self._f.read("when", self._conditions, [])),
            each=None if each is None else SourceReader(has_item=False).path(each),
            time=self._time(),
            service=self._one("service") or Source(place="service"),
            region=self._one("region"),
            arm=self._one("arm"),
            code=self._one("code"),
            values=self._many("values", NUMBER, MAX_VALUES, metric_name),
            labels=self._many("labels", LABEL, MAX_LABELS, _label),
            pins=self._many("pins", TEXT, MAX_PINS, lambda name: label_name("pins", name)),
            fact=self._fact(event),
        )
        if "service" not in self._f and "service" not in shared:
            reader.problem(
                "key/missing",
                "`service` is missing",
                fix="add `service:`, a path or a name, here or beside `events`",
            )
        if (
            not any(key in self._f for key in ("values", "code", "pins", "fact"))
            and "pins" not in shared
        ):
            reader.problem(
                "mapping/empty",
                f"an event `{event}` would say nothing",
                fix="add `values:`, `code:`, `pins:` or `fact:`",
            )

    @property
    def code(self) -> Reader | None:
        """Where the code is, if the entry has one."""
        return self._f.get("code")

    def _reader(self, key: str) -> Reader | None:
        found = self._f.get(key)
        return self._shared.get(key) if found is None and key in _SHARED else found

    def _time(self) -> Source | None:
        source = self._one("time", TIME)
        if source is not None and (source.constant is not None or source.default is not None):
            reader = self._reader("time")
            assert reader is not None
            reader.problem(
                "value/type",
                "events do not all happen at one time",
                fix="write a path, e.g. `$.ts`",
            )
            return None
        return source

    def _one(self, key: str, own: tuple[str, ...] = TEXT) -> Source | None:
        found = self._reader(key)
        return None if found is None else self._sources.read(found, key, own)

    def _many(
        self, key: str, own: tuple[str, ...], most: int, check: Callable[[str], str]
    ) -> dict[str, Source]:
        found = self._reader(key)
        if found is None:
            return {}
        entries, positions = dict(found.entries()), found.key_positions()
        if len(entries) > most:
            found.problem("value/range", f"{len(entries)} `{key}`; at most {most} are allowed")
        for name in entries:
            try:
                check(name)
            except Rejected as rejected:
                found.document.report(positions[name], "mapping/name", str(rejected))
        if key == "values":
            self.values = entries
        return {
            name: self._sources.read(value, f"{key}.{name}", own) for name, value in entries.items()
        }

    def _fact(self, event: str) -> dict[str, Source]:
        found = self._f.get("fact")
        if found is None:
            return {}
        if event not in SAID:
            self._f.problem(
                "fact",
                "mapping/fact",
                f"an event `{event}` is no fact; these are: {', '.join(f'`{e}`' for e in SAID)}",
                fix="write another `event:`, or remove `fact:`",
            )
            return {}
        known = [field.encode_name for field in msgspec.structs.fields(SAID[event])]
        f = found.fields(known)
        return {
            key: self._sources.read(value, key, FACT)
            for key in known
            if (value := f.get(key)) is not None
        }

    def _conditions(self, reader: Reader) -> list[Condition]:
        found: list[Condition] = []
        for key, value in reader.pairs():
            path, written = self._sources.path(key), value.plain()
            if path is None:
                continue
            if isinstance(written, dict):
                f = value.fields(("exists",), required=("exists",))
                exists = f.read("exists", Reader.boolean, default=True)
                found.append(Condition(path=path, exists=exists))
                continue
            readers = list(value.items()) if isinstance(written, list) else [value]
            among = [_literal(each) for each in readers]
            if not readers:
                value.problem("value/range", "no value is allowed at all")
            found.append(Condition(path=path, among=tuple(a for a in among if a is not None)))
        return found


def _literal(reader: Reader) -> Scalar | None:
    value = reader.plain()
    if isinstance(value, str | int | float):
        return value
    reader.problem(
        "value/type",
        "expected text, a number, `true` or `false`, a list of them, or `{exists: true}`",
    )
    return None


def _label(name: str) -> str:
    if name in _ENVELOPE:
        raise Rejected(f"`labels`: `{name}` is not a label of its own; an event has it already")
    return label_name("labels", name)


def _check_repeats(entries: list[_Entry]) -> None:
    """Two entries that write one series for one event would count it twice."""
    for at, entry in enumerate(entries):
        for before in entries[:at]:
            if before.said.excludes(entry.said):
                continue
            both = [(name, entry.values[name]) for name in entry.values if name in before.values]
            if before.code is not None and entry.code is not None:
                both.append(("requests", entry.code))
            for name, reader in both:
                reader.problem(
                    "mapping/repeated",
                    f"`{name}` is written by two entries that can both take one event",
                    fix="make their `when` exclude each other, or give them different constant"
                    " labels",
                )
