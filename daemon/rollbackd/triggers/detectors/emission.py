"""The series that detectors write: counters and gauges at event time.

A counter begins with 0 one millisecond before its first event, as Prometheus does with created
timestamps, and is told again every `BEAT_MS` of event time: `increase` over any window then sees a
value before each rise. A new process begins at 0 again, which Prometheus reads as a reset.
"""

from typing import Final

from rollbackd.model.events import Sample
from rollbackd.model.labels import METRIC_NAME, Labels, Scope, labels_of

#: While events come, each series is told at least this often, in event time.
BEAT_MS: Final = 5_000
#: What counts every event is told this often, and not with every event.
VOLUME_EVERY_MS: Final = 1_000
#: Arms of one scope that have series of their own; the others share one.
MOST_ARMS: Final = 20
OTHER_ARMS: Final = "other"


class Line:
    """One series. Its times never go back; what comes late is told at the newest time."""

    __slots__ = ("_at_ms", "_labels", "value")

    def __init__(self, labels: Labels) -> None:
        self.value = 0.0
        self._labels = labels
        self._at_ms: int | None = None

    def add(self, by: int, at_ms: int, out: list[Sample]) -> None:
        """Raise a counter of rare things, and tell of it at once; by 0 only lets time pass."""
        last_ms = self._begun(at_ms, out)
        at_ms = max(at_ms, last_ms)
        overdue = at_ms - last_ms >= BEAT_MS
        if by and overdue:
            out.append(Sample(self._labels, self.value, at_ms - 1))
        self.value += by
        if by or overdue:
            self._tell(at_ms, out)

    def count(self, at_ms: int, out: list[Sample]) -> None:
        """Raise a counter of ordinary things by one."""
        last_ms = self._begun(at_ms, out)
        self.value += 1
        if at_ms - last_ms >= VOLUME_EVERY_MS:
            self._tell(at_ms, out)

    def set(self, value: float, at_ms: int, out: list[Sample]) -> None:
        """What a gauge shows from now on."""
        last_ms = self._at_ms
        changed = last_ms is None or value != self.value
        self.value = value
        if changed or (last_ms is not None and at_ms - last_ms >= BEAT_MS):
            self._tell(at_ms if last_ms is None else max(at_ms, last_ms), out)

    def _begun(self, at_ms: int, out: list[Sample]) -> int:
        if self._at_ms is None:
            self._tell(at_ms - 1, out)
            return at_ms - 1
        return self._at_ms

    def _tell(self, at_ms: int, out: list[Sample]) -> None:
        out.append(Sample(self._labels, self.value, at_ms))
        self._at_ms = at_ms


class Lines:
    """The series of one scope and one detector."""

    __slots__ = ("_arms", "_lines", "_scope")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._arms: set[str] = set()
        self._lines: dict[tuple[str, str, str], Line] = {}

    def of(self, metric: str, arm: str = "", kind: str = "") -> Line:
        """The series `metric{service, region, arm, kind}`; an empty label is none."""
        line = self._lines.get((metric, arm, kind))
        return self._new(metric, arm, kind) if line is None else line

    def _new(self, metric: str, arm: str, kind: str) -> Line:
        if arm and arm not in self._arms:
            if len(self._arms) >= MOST_ARMS:
                # not remembered by its own name: there is no end of them
                shared = (metric, OTHER_ARMS, kind)
                return self._lines.get(shared) or self._made(*shared)
            self._arms.add(arm)
        return self._made(metric, arm, kind)

    def _made(self, metric: str, arm: str, kind: str) -> Line:
        labels = {
            METRIC_NAME: metric,
            "service": self._scope.service,
            "region": self._scope.region,
            "arm": arm,
            "kind": kind,
        }
        line = self._lines[metric, arm, kind] = Line(labels_of(labels))
        return line
