"""The envelope of a native event, and what one event becomes."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from rollbackd.events.collecting import Collector, Sighting
from rollbackd.events.facts import ANSWERED, HEARTBEAT, KEYS_OF, About, Said
from rollbackd.events.pins import canonical_pins
from rollbackd.events.scorable import Embeddings, Texts, scorable
from rollbackd.events.series import (
    Key,
    SeriesCache,
    label_name,
    metric_name,
    part,
    shown,
)
from rollbackd.events.timestamps import event_time
from rollbackd.model.events import KnownGood, KnownTarget, Rejected, Schema
from rollbackd.model.facts import AnswerServed, Scorable
from rollbackd.model.labels import Scope

MAX_VALUES: Final = 200
MAX_CONTROLS: Final = 200
#: Nesting of a control's value: what everybody who stores and shows it can hold.
MAX_DEPTH: Final = 16

#: The value that makes a score needless.
SCORED: Final = "delta_s"
#: The event that records a known good set.
PINNED: Final = "baseline.pinned"
#: `<lever>` or `<lever>:<name>`.
_TARGET_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}(:[!-~]{1,256})?")
#: Distinct sightings that are remembered in canonical form.
_MOST_SIGHTINGS: Final = 10_000

Scalar = str | int | float | bool


#: The value of `alerts` in what has none.
NO_ALERTS: Final = msgspec.Raw()


class Envelope(msgspec.Struct):
    """A native event as it is written; fields that are not listed here are ignored."""

    event: str = ""
    ts: datetime | float | None = None
    service: str | None = None
    region: str | None = None
    arm: str | None = None
    color: str | None = None
    variant: str | None = None
    code: int | str | None = None
    values: dict[str, float] | None = None
    labels: dict[str, Scalar] | None = None
    pins: dict[str, Scalar] | None = None
    controls: dict[str, Any] | None = None
    targets: dict[str, Any] | None = None
    baseline: dict[str, dict[str, float]] | None = None
    texts: Texts | None = None
    vectors: Embeddings | None = None
    #: Not of an event: a list of these makes it a notification.
    alerts: msgspec.Raw = NO_ALERTS

    @property
    def has_texts(self) -> bool:
        """Whether it carries what a scorer may want: texts, or their embeddings."""
        return self.texts is not None or self.vectors is not None


#: The series that an event writes, if any, and who ran with which pins, if it says so.
Outline = tuple[Schema | None, Sighting | None]


def measured(values: Mapping[str, float] | None, code: int | str | None) -> Sequence[float]:
    """A value for each series of the event's schema."""
    found = () if values is None else values.values()
    return tuple(found) if code is None else (*found, 1.0)


class EventReader:
    """Turns envelopes into model values; remembers label sets and pins that it has seen."""

    def __init__(self) -> None:
        self._series = SeriesCache()
        self._sightings: dict[tuple[bool, bool, Key], Sighting] = {}

    def read(self, event: Envelope, body: bytes, into: Collector, *, now_ms: int) -> bool:
        """Add what the event says; `body` is its text. Raises Rejected, and then has added nothing.

        Whether it says nothing but measurements and pins: events with the same text around their
        time and values then say the same.
        """
        if not event.event:
            raise Rejected(
                "`event` is missing; a native event names itself, e.g. `answer.served`, and others"
                " need a mapping"
            )
        time_ms = now_ms if event.ts is None else event_time(event.ts, now_ms=now_ms)
        if event.event == PINNED:
            into.known_good.append(_known_good(event, time_ms))
            return False
        keys_of = KEYS_OF.get(event.event)
        said = None if keys_of is None else keys_of(body)
        schema, sighting = self.outline(event, has_fact=said is not None)
        to_score = self._to_score(event, time_ms) if event.has_texts else None
        if said is not None:
            into.took(said.fact(about(event, sighting, time_ms)))
        if to_score is not None:
            into.took(to_score)
        if schema is not None:
            into.samples.rows.append((schema, time_ms, measured(event.values, event.code)))
        if sighting is not None:
            into.saw_pins(sighting, time_ms)
        return said is None and not event.has_texts

    def outline(self, event: Envelope, *, has_fact: bool = False) -> Outline:
        """What the event says, its time, values and single facts aside. Raises Rejected."""
        arm = event.arm or event.variant or event.color or ""
        series = self._series.get(
            (event.service or "", event.region or "", arm, _items(event.labels))
        )
        answers = event.event == ANSWERED and not has_fact
        sighting = self._sighting(event, arm, answers=answers) if event.pins else None
        names = tuple(event.values or ())
        if not names and event.code is None:
            return None, sighting
        if len(names) > MAX_VALUES:
            raise Rejected(f"`values`: {len(names)} values; at most {MAX_VALUES} are allowed")
        return series.schema(names, event.code), sighting

    def answer(self, event: Envelope, said: Said) -> AnswerServed | None:
        """The answer that an event tells of, its time aside; None when it tells of none."""
        _, sighting = self.outline(event, has_fact=True)
        fact = said.fact(about(event, sighting, 0))
        return fact if isinstance(fact, AnswerServed) else None

    def _to_score(self, event: Envelope, time_ms: int) -> Scorable | None:
        """None for an event that has measured it already: no answer counts twice."""
        if event.values is not None and SCORED in event.values:
            return None
        arm = event.arm or event.variant or event.color or ""
        key = (event.service or "", event.region or "", arm, _items(event.labels))
        about = About(_scope(event, "texts"), time_ms, arm, None)
        return scorable(event.texts, event.vectors, about, self._series.get(key).labels)

    def _sighting(self, event: Envelope, arm: str, *, answers: bool) -> Sighting:
        pins = _items(event.pins)
        partial = event.event == HEARTBEAT
        written = answers, partial, (event.service or "", event.region or "", arm, pins)
        known = self._sightings.get(written)
        if known is None:
            known = Sighting(
                scope=_scope(event, "pins"),
                arm=part("arm", arm) if arm else "",
                pins=canonical_pins(pins),
                answers=answers,
                partial=partial,
            )
            if len(self._sightings) >= _MOST_SIGHTINGS:
                self._sightings.clear()
            self._sightings[written] = known
        return known


def about(event: Envelope, sighting: Sighting | None, time_ms: int) -> About:
    """What the envelope says of a fact. Raises Rejected."""
    arm = event.arm or event.variant or event.color or ""
    pins = None if sighting is None else sighting.pins
    return About(_scope(event, event.event), time_ms, arm, pins)


def _known_good(event: Envelope, time_ms: int) -> KnownGood:
    scope = _scope(event, PINNED)
    controls = event.controls or {}
    if not event.pins and not controls:
        raise Rejected(
            f"`{PINNED}` has neither `pins` nor `controls`: there is nothing to go back to"
        )
    if len(controls) > MAX_CONTROLS:
        raise Rejected(f"`controls`: {len(controls)} controls; at most {MAX_CONTROLS} are allowed")
    for name in controls:
        if not name.isprintable() or not 1 <= len(name) <= 256:
            raise Rejected(f"`controls`: `{shown(name)}` is not a control name")
        if _deeper(controls[name], MAX_DEPTH):
            raise Rejected(f"`controls.{name}`: more than {MAX_DEPTH} levels of nesting")
    targets = _known_targets(event.targets or {})
    baseline = event.baseline or {}
    if sum(map(len, baseline.values())) > MAX_VALUES:
        raise Rejected(f"`baseline`: more than {MAX_VALUES} values")
    return KnownGood(
        scope=scope,
        pins=canonical_pins(_items(event.pins)),
        recorded_at_ms=time_ms,
        controls=controls,
        targets=targets,
        baseline={
            metric_name(metric): {label_name("baseline", stat): v for stat, v in stats.items()}
            for metric, stats in baseline.items()
        },
    )


def _known_targets(written: Mapping[str, Any]) -> dict[str, KnownTarget]:
    """`targets` of the event: `{"<lever>" or "<lever>:<name>": {"value": {}, "facts": {}}}`."""
    if len(written) > MAX_CONTROLS:
        raise Rejected(f"`targets`: {len(written)} targets; at most {MAX_CONTROLS} are allowed")
    for name, target in written.items():
        if not _TARGET_NAME.fullmatch(name):
            raise Rejected(
                f"`targets`: `{shown(name)}` is not a target; write `<lever>` or `<lever>:<name>`"
            )
        if _deeper(target, MAX_DEPTH):
            raise Rejected(f"`targets.{name}`: more than {MAX_DEPTH} levels of nesting")
    try:
        return msgspec.convert(dict(written), dict[str, KnownTarget])
    except msgspec.ValidationError as error:
        raise Rejected(f"`targets`: {error}") from None


def _deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(_deeper(item, levels - 1) for item in inner)


def _scope(event: Envelope, what: str) -> Scope:
    if not event.service:
        raise Rejected(f"`service` is missing; `{what}` are of one service")
    return _checked_scope(event.service, event.region or "global")


@lru_cache(10_000)
def _checked_scope(service: str, region: str) -> Scope:
    return Scope(part("service", service), part("region", region))


def _items(mapping: dict[str, Scalar] | None) -> tuple[tuple[str, str], ...]:
    """The items with their values as text.

    Text first: as keys of a cache `1`, `1.0` and `True` would be one, but they are three labels.
    """
    if not mapping:
        return ()
    for value in mapping.values():
        if value.__class__ is not str:
            return tuple((k, _text(v)) for k, v in mapping.items())
    return tuple(mapping.items())  # type: ignore[arg-type]  # all are str


def _text(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
