"""The envelope of a native event, and what one event becomes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from rollbackd.events.collecting import Collector, Sighting
from rollbackd.events.pins import canonical_pins
from rollbackd.events.series import (
    Key,
    SeriesCache,
    label_name,
    metric_name,
    part,
    shown,
)
from rollbackd.events.timestamps import event_time
from rollbackd.model.events import KnownGood, Rejected, Schema
from rollbackd.model.labels import Scope

MAX_VALUES: Final = 200
MAX_CONTROLS: Final = 200
#: Nesting of a control's value: what everybody who stores and shows it can hold.
MAX_DEPTH: Final = 16

#: The event that records a known good set.
PINNED: Final = "baseline.pinned"
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
    baseline: dict[str, dict[str, float]] | None = None
    #: Not of an event: a list of these makes it a notification.
    alerts: msgspec.Raw = NO_ALERTS


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
        self._sightings: dict[Key, Sighting] = {}

    def read(self, event: Envelope, into: Collector, *, now_ms: int) -> None:
        """Add what the event says. Raises Rejected, and then has added nothing."""
        if not event.event:
            raise Rejected("`event` is missing; a native event names itself, e.g. `answer.served`")
        time_ms = now_ms if event.ts is None else event_time(event.ts, now_ms=now_ms)
        if event.event == PINNED:
            into.known_good.append(_known_good(event, time_ms))
            return
        schema, sighting = self.outline(event)
        if schema is not None:
            into.samples.rows.append((schema, time_ms, measured(event.values, event.code)))
        if sighting is not None:
            into.saw_pins(sighting, time_ms)

    def outline(self, event: Envelope) -> Outline:
        """What the event says, its time and values aside. Raises Rejected."""
        arm = event.arm or event.variant or event.color or ""
        series = self._series.get(
            (event.service or "", event.region or "", arm, _items(event.labels))
        )
        sighting = self._sighting(event, arm) if event.pins else None
        names = tuple(event.values or ())
        if not names and event.code is None:
            return None, sighting
        if len(names) > MAX_VALUES:
            raise Rejected(f"`values`: {len(names)} values; at most {MAX_VALUES} are allowed")
        return series.schema(names, event.code), sighting

    def _sighting(self, event: Envelope, arm: str) -> Sighting:
        written = (event.service or "", event.region or "", arm, _items(event.pins))
        known = self._sightings.get(written)
        if known is None:
            known = Sighting(
                scope=_scope(event, "pins"),
                arm=part("arm", arm) if arm else "",
                pins=canonical_pins(written[3]),
            )
            if len(self._sightings) >= _MOST_SIGHTINGS:
                self._sightings.clear()
            self._sightings[written] = known
        return known


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
    baseline = event.baseline or {}
    if sum(map(len, baseline.values())) > MAX_VALUES:
        raise Rejected(f"`baseline`: more than {MAX_VALUES} values")
    return KnownGood(
        scope=scope,
        pins=canonical_pins(_items(event.pins)),
        recorded_at_ms=time_ms,
        controls=controls,
        baseline={
            metric_name(metric): {label_name("baseline", stat): v for stat, v in stats.items()}
            for metric, stats in baseline.items()
        },
    )


def _deeper(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(_deeper(item, levels - 1) for item in inner)


def _scope(event: Envelope, what: str) -> Scope:
    if not event.service:
        raise Rejected(f"`service` is missing; `{what}` are of one service")
    return Scope(part("service", event.service), part("region", event.region or "global"))


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
