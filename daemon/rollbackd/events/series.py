"""Label tuples by what an event says, remembered so that the hot path builds none."""

import re
from bisect import bisect_left
from functools import lru_cache
from typing import Final

from rollbackd.events.generations import Generations
from rollbackd.model.events import Rejected, Schema
from rollbackd.model.labels import METRIC_NAME, Labels, labels_of

MAX_LABELS: Final = 30
MAX_VALUE_LENGTH: Final = 2_048

_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,255}")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,255}")
_PART: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")

#: Series that the engine makes; an event that carried them could forge a trigger.
_RESERVED: Final = frozenset({"ALERTS", "ALERTS_FOR_STATE"})
_RESERVED_PREFIX: Final = "baseline:"

#: Service, region, arm and the event's own labels in the sender's order.
Key = tuple[str, str, str, tuple[tuple[str, str], ...]]


class Sender:
    """The service, region and arm of events, checked. Raises Rejected."""

    _MOST: Final = 1_000

    def __init__(self, service: str, region: str, arm: str) -> None:
        said = {"service": service, "region": region, "arm": arm}
        self.labels = {k: part(k, v) for k, v in said.items() if v}
        self._codes: dict[int | str, Labels] = {}

    def requests(self, code: int | str) -> Labels:
        """`requests{service, region, arm, code}`."""
        found = self._codes.get(code)
        if found is None:
            if len(self._codes) >= self._MOST:
                self._codes.clear()
            found = labels_of(
                {**self.labels, "code": part("code", str(code)), METRIC_NAME: "requests"}
            )
            self._codes[code] = found
        return found


class EventSeries(dict[str, Labels]):
    """Metric name -> labels, for the events of one sender and label set."""

    _MOST: Final = 1_000
    _MOST_SCHEMAS: Final = 100

    def __init__(self, sender: Sender, own: tuple[tuple[str, str], ...]) -> None:
        self._sender = sender
        labels = labels_of({**sender.labels, **_checked(own, sender.labels)})
        at = bisect_left(labels, (METRIC_NAME,))
        self._before, self._behind = labels[:at], labels[at:]
        self._schemas: dict[tuple[int | str | None, ...], Schema] = {}

    def __missing__(self, metric: str) -> Labels:
        if len(self) >= self._MOST:
            self.clear()
        pair = (METRIC_NAME, metric_name(metric))
        labels = self[metric] = (*self._before, pair, *self._behind)
        return labels

    @property
    def labels(self) -> Labels:
        """Of every series but `requests`, the name aside."""
        return (*self._before, *self._behind)

    def schema(self, names: tuple[str, ...], code: int | str | None) -> Schema:
        """What events with these values, and one more for their code if they have one, write.

        Raises Rejected.
        """
        key = (code, *names)
        found = self._schemas.get(key)
        if found is None:
            request = () if code is None else (self._sender.requests(code),)
            found = Schema((*[self[name] for name in names], *request))
            if len(self._schemas) >= self._MOST_SCHEMAS:
                self._schemas.clear()
            self._schemas[key] = found
        return found


class SeriesCache:
    """The EventSeries used lately, at most `2 * size`."""

    def __init__(self, size: int = 20_000) -> None:
        self._known = Generations[Key, EventSeries](size)
        self._senders = Generations[tuple[str, str, str], Sender](size)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Key) -> EventSeries:
        """The series of such events. Raises Rejected when the key cannot be labels."""
        found = self._known.get(key)
        if found is None:
            service, region, arm, own = key
            found = EventSeries(self._sender(service, region, arm), own)
            self._known.put(key, found)
        return found

    def _sender(self, *key: str) -> Sender:
        service, region, arm = key
        found = self._senders.get((service, region, arm))
        if found is None:
            found = Sender(service, region, arm)
            self._senders.put((service, region, arm), found)
        return found


@lru_cache(10_000)
def metric_name(name: str) -> str:
    """A metric name that an event may use. Raises Rejected."""
    if not _METRIC.fullmatch(name):
        raise Rejected(
            f"`values`: `{shown(name)}` is not a metric name; use [a-zA-Z_:][a-zA-Z0-9_:]*"
        )
    if reserved(name):
        raise Rejected(f"`values`: `{shown(name)}` is reserved; rollbackd makes this series itself")
    return name


def reserved(name: str) -> bool:
    """Whether the engine makes this series itself."""
    return name in _RESERVED or name.startswith(_RESERVED_PREFIX)


def label_name(field: str, name: str) -> str:
    """A label name. Raises Rejected."""
    if not _LABEL.fullmatch(name):
        raise Rejected(f"`{field}`: `{shown(name)}` is not a name; use [a-zA-Z_][a-zA-Z0-9_]*")
    return name


def part(field: str, value: str) -> str:
    """A part of a scope, an arm or a code. Raises Rejected."""
    if not _PART.fullmatch(value):
        raise Rejected(
            f"`{field}`: `{shown(value)}` is not allowed; use 1 to 128 of A-Z a-z 0-9 . _ -"
        )
    return value


def bounded(field: str, value: str) -> str:
    """A label or pin value of a length that we keep. Raises Rejected."""
    if len(value) > MAX_VALUE_LENGTH:
        raise Rejected(
            f"`{field}`: `{shown(value)}` has {len(value)} characters;"
            f" at most {MAX_VALUE_LENGTH} are allowed"
        )
    return value


def shown(value: str) -> str:
    """Enough of a value to recognise it in a message."""
    return value if len(value) <= 80 else f"{value[:80]}..."


def _checked(own: tuple[tuple[str, str], ...], envelope: dict[str, str]) -> dict[str, str]:
    if len(own) > MAX_LABELS:
        raise Rejected(f"`labels`: {len(own)} labels; at most {MAX_LABELS} are allowed")
    checked: dict[str, str] = {}
    for name, value in own:
        if name == METRIC_NAME:
            raise Rejected(
                "`labels.__name__` is not allowed; the metric name is the key in `values`"
            )
        if envelope.get(name, value) != value:
            raise Rejected(
                f"`labels.{name}`: `{shown(value)}` is not the event's own `{name}`"
                f" `{envelope[name]}`; say it once"
            )
        checked[label_name("labels", name)] = bounded(f"labels.{name}", value)
    return checked
