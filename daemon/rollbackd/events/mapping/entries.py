"""One entry of a mapping, compiled: what an event of theirs says in our terms.

Service, region, arm, code, labels and pins of one sender repeat: as texts they are looked up, and
what they mean is checked once.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from rollbackd.events.collecting import Sighting
from rollbackd.events.envelope import Envelope, EventReader, about
from rollbackd.events.facts import SAID, About
from rollbackd.events.generations import Generations
from rollbackd.events.mapping.description import Condition, Description
from rollbackd.events.mapping.getters import (
    fact_getter,
    label_getter,
    number_getter,
    text_getter,
    time_getter,
)
from rollbackd.events.mapping.paths import compile_path
from rollbackd.model.events import Rejected, Schema
from rollbackd.model.facts import AnyFact, ChangeEvent

#: Items of one list that is taken apart.
MAX_ITEMS: Final = 1_000
#: Distinct senders, label sets and pins that are remembered, twice at most.
_REMEMBERED: Final = 20_000

_Test = Callable[[Any, Any], bool]


class Outcome(NamedTuple):
    """What one event says, whole."""

    time_ms: int
    schema: Schema | None
    measured: Sequence[float]
    sighting: Sighting | None
    fact: AnyFact | ChangeEvent | None


class _Meaning(NamedTuple):
    """What the texts of an event mean; its time is not among them."""

    schema: Schema | None
    counts: bool
    sighting: Sighting | None
    about: About | None


class Entry:
    """Reads events by one description."""

    def __init__(self, said: Description, absent: frozenset[str], reader: EventReader) -> None:
        self.said = said
        self._reader = reader
        self._tests = [_test(condition, absent) for condition in said.when]
        self._items = None if said.each is None else compile_path(said.each)
        self._time = time_getter(said.time, absent)
        #: Events whose label was put under `other`, by label.
        self.over: Counter[str] = Counter()
        envelope = (said.service, said.region, said.arm, said.code)
        self._texts = [
            *(_nothing if source is None else text_getter(source, absent) for source in envelope),
            *(label_getter(source, absent, self.over) for source in said.labels.values()),
            *(text_getter(source, absent) for source in said.pins.values()),
        ]
        self._names = tuple(said.values)
        self._numbers = [number_getter(source, absent) for source in said.values.values()]
        self._facts = [(key, fact_getter(source, absent)) for key, source in said.fact.items()]
        self._known = Generations[tuple[object, ...], _Meaning](_REMEMBERED)

    def read(self, event: dict[str, Any], now_ms: int) -> Iterable[Outcome]:
        """What the event says by this entry, nothing if it is not for it. Raises Rejected."""
        if self._items is None:
            found = self._read(event, None, now_ms)
            return () if found is None else (found,)
        items = self._items(event, None)
        if items is None:
            return ()
        if items.__class__ is not list:
            raise Rejected(f"`each`: `{self.said.each and self.said.each.text}` is not a list")
        if len(items) > MAX_ITEMS:
            raise Rejected(f"`each`: {len(items)} items; at most {MAX_ITEMS} are allowed")
        outcomes = [self._read(event, item, now_ms) for item in items]
        return [outcome for outcome in outcomes if outcome is not None]

    def _read(self, event: Any, item: Any, now_ms: int) -> Outcome | None:
        for test in self._tests:
            if not test(event, item):
                return None
        texts = tuple([get(event, item) for get in self._texts])
        numbers: list[Any] = [get(event, item) for get in self._numbers]
        names = self._names
        if None in numbers:
            pairs = [pair for pair in zip(names, numbers, strict=True) if pair[1] is not None]
            names, numbers = tuple([p[0] for p in pairs]), [p[1] for p in pairs]
        keys = {}
        if self._facts:
            keys = {key: v for key, get in self._facts if (v := get(event, item)) is not None}
        key = (texts, names, True) if keys else (texts, names)
        meaning = self._known.find(key) or self._learn(key, texts, names, has_fact=bool(keys))
        if meaning.schema is None and meaning.sighting is None and not keys:
            return None
        if meaning.counts:
            numbers.append(1.0)
        time_ms = self._time(event, item, now_ms)
        fact = self._fact(keys, meaning.about, time_ms) if keys else None
        return Outcome(time_ms, meaning.schema, numbers, meaning.sighting, fact)

    def _learn(
        self,
        key: tuple[object, ...],
        texts: tuple[str | None, ...],
        names: tuple[str, ...],
        *,
        has_fact: bool,
    ) -> _Meaning:
        found = self._known.get(key)
        if found is not None:
            return found
        service, region, arm, code, *rest = texts
        labels, pins = rest[: len(self.said.labels)], rest[len(self.said.labels) :]
        event = Envelope(
            event=self.said.event,
            service=service,
            region=region,
            arm=arm,
            code=code,
            values=dict.fromkeys(names, 0.0),
            labels=_given(self.said.labels, labels),
            pins=_given(self.said.pins, pins),
        )
        if not service:
            raise Rejected(f"`service` is missing: there is no {self.said.service.shown}")
        schema, sighting = self._reader.outline(event, has_fact=has_fact)
        found = _Meaning(
            schema=schema,
            counts=code is not None,
            sighting=sighting,
            about=about(event, sighting, 0) if has_fact else None,
        )
        self._known.put(key, found)
        return found

    def _fact(
        self, keys: dict[str, Any], base: About | None, time_ms: int
    ) -> AnyFact | ChangeEvent:
        assert base is not None
        try:
            said = msgspec.convert(keys, SAID[self.said.event])
        except msgspec.ValidationError as error:
            raise Rejected(f"`fact`: {str(error).replace('$.', '')}") from None
        fact: AnyFact | ChangeEvent = said.fact(About(base.scope, time_ms, base.arm, base.pins))
        return fact


def _nothing(_event: Any, _item: Any) -> None:
    return None


def _given(names: Iterable[str], values: Sequence[str | None]) -> dict[str, Any]:
    return {n: value for n, value in zip(names, values, strict=True) if value is not None}


def _test(condition: Condition, absent: frozenset[str]) -> _Test:
    get = compile_path(condition.path)

    def there(event: Any, item: Any) -> Any:
        found = get(event, item)
        return None if found.__class__ is str and found in absent else found

    if not condition.among:
        wanted = condition.exists
        return lambda event, item: (there(event, item) is not None) is wanted
    # `True` equals 1, and is another JSON value
    among = frozenset((value.__class__ is bool, value) for value in condition.among)
    texts = frozenset(value for value in condition.among if isinstance(value, str))

    def is_one(event: Any, item: Any) -> bool:
        found = get(event, item)
        if found.__class__ is str:
            return found in texts
        if found.__class__ is dict or found.__class__ is list:
            return False
        return (found.__class__ is bool, found) in among

    return is_one
