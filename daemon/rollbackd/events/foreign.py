"""Series of other programs: their label sets checked once, and then known by what the wire said.

A format hands over whatever it can tell a series by (bytes, a tuple) and makes labels of it only
when it has not met it before. Who refuses one series takes the others: a Prometheus that sends one
odd series among two thousand should not lose the rest of them.
"""

import struct
from collections.abc import Callable, Hashable, Iterable
from enum import StrEnum
from typing import Final

from rollbackd.events.generations import Generations
from rollbackd.events.series import MAX_LABELS, bounded, label_name, metric_name, reserved, shown
from rollbackd.model.events import Rejected, Schema
from rollbackd.model.labels import METRIC_NAME, Labels, labels_of

#: Samples in one body or record: as many as are decoded in a part of a second.
MAX_SAMPLES: Final = 50_000

#: Ends a series: https://github.com/prometheus/prometheus/blob/main/model/value/value.go
STALE: Final[float] = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]

_SERIES: Final = 100_000


class Unused(StrEnum):
    """Why samples of a body were left out; a label of `rollbackd_samples_refused_total`."""

    #: A series that the engine makes itself, such as `ALERTS`.
    RESERVED_NAME = "reserved_name"
    #: A name or label set that cannot be a series here. The only one that is the sender's fault.
    BAD_LABELS = "bad_labels"
    #: Prometheus's histograms with exponential buckets.
    NATIVE_HISTOGRAM = "native_histogram"
    #: OpenTelemetry's.
    EXPONENTIAL_HISTOGRAM = "exponential_histogram"
    #: A delta that belongs to no counter, or is as old as one that was added up already.
    DELTA = "delta"
    #: A field of text.
    NOT_A_NUMBER = "not_a_number"
    #: An event with the id and source of another.
    DUPLICATE = "duplicate"


class UnusedSeries:
    """What a series is known as when it is left out."""

    __slots__ = ("because", "message")

    def __init__(self, because: Unused, message: str) -> None:
        self.because = because
        self.message = message


class SeriesBook:
    """The series of one format by its own key, at most `2 * size`."""

    def __init__(self, size: int = _SERIES) -> None:
        self._known = Generations[Hashable, Schema | UnusedSeries](size)

    def schema(self, key: Hashable, labels: Callable[[], Labels]) -> Schema | UnusedSeries:
        """The series of a key; `labels` says what a new one is, and may raise Rejected."""
        return self.schemas(key, lambda: (labels(),))

    def schemas(
        self, key: Hashable, series: Callable[[], tuple[Labels, ...]]
    ) -> Schema | UnusedSeries:
        """The same for several series that are always written together."""
        found = self._known.get(key)
        if found is None:
            try:
                found = Schema(series())
            except ReservedError as error:
                found = UnusedSeries(Unused.RESERVED_NAME, str(error))
            except Rejected as error:
                found = UnusedSeries(Unused.BAD_LABELS, str(error))
            self._known.put(key, found)
        return found


class ReservedError(Rejected):
    """A name that the engine keeps to itself."""


def foreign_labels(pairs: Iterable[tuple[str, str]]) -> Labels:
    """The labels of a series, `__name__` among them. Raises Rejected."""
    labels: dict[str, str] = {}
    for name, value in pairs:
        if name in labels:
            raise Rejected(f"label `{shown(name)}` is there twice")
        labels[label_name("labels", name)] = bounded(f"labels.{name}", value)
    if len(labels) > MAX_LABELS + 1:
        raise Rejected(f"{len(labels) - 1} labels; at most {MAX_LABELS} are allowed")
    name = labels.get(METRIC_NAME, "")
    if reserved(name):
        raise ReservedError(f"`{shown(name)}` is reserved; rollbackd makes this series itself")
    metric_name(name)
    return labels_of(labels)
