"""The same traffic from a service that counts for itself: sums instead of an event a request.

Every 15 seconds and for each arm: `http.window` with counters by status code and the buckets of a
latency histogram, as Prometheus counts them, and `quality.window` with what the scorer saw since
the last one. Everything that is not about single answers stays as it is.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final

from rollbackd.app.generating.schedule import Timed
from rollbackd.model.pins import Pins
from rollbackd.promql.values import quantile_of

_WINDOW_MS: Final = 15_000
#: Upper bounds in seconds; `+Inf` comes after them.
_BOUNDS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_HISTOGRAM: Final = "rag_e2e_latency_seconds"
_SUMMED_UP: Final = frozenset({"answer.served", "cache.event"})


class _Sums:
    """What one arm of one service counted; counters go on, the scores begin anew each window."""

    def __init__(self, about: dict[str, Any], pins: Pins) -> None:
        self._about = about
        self._pins = pins
        self._codes: dict[str, int] = {}
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0
        self._delta_s: list[float] = []
        self._coverage: list[float] = []

    def add(self, event: dict[str, Any]) -> None:
        """Count one answer. Cold ones are left out of the histogram: they cannot say so there."""
        code, values = str(event["code"]), event.get("values", {})
        self._codes[code] = self._codes.get(code, 0) + 1
        if "latency_seconds" in values and "labels" not in event:
            self._buckets[bisect_left(_BOUNDS, values["latency_seconds"])] += 1
            self._seconds += values["latency_seconds"]
        if "delta_s" in values:
            self._delta_s.append(values["delta_s"])
            self._coverage.append(values["coverage"])

    def events(self, at_ms: int) -> Iterator[Timed]:
        """What is said at the end of a window."""
        for code, count in sorted(self._codes.items()):
            yield at_ms, self._event(at_ms, {"rag_requests_total": count}, {"code": code})
        below = 0
        for bound, count in zip((*_BOUNDS, "+Inf"), self._buckets, strict=True):
            below += count
            yield at_ms, self._event(at_ms, {f"{_HISTOGRAM}_bucket": below}, {"le": str(bound)})
        totals = {f"{_HISTOGRAM}_count": below, f"{_HISTOGRAM}_sum": round(self._seconds, 4)}
        yield at_ms, self._event(at_ms, totals, {})
        if self._delta_s:
            yield at_ms, self._scores(at_ms)
            self._delta_s, self._coverage = [], []

    def _scores(self, at_ms: int) -> dict[str, Any]:
        answers = len(self._delta_s)
        scores = {
            "delta_s_p50": quantile_of(0.5, self._delta_s),
            "delta_s_p95": quantile_of(0.95, self._delta_s),
            "coverage_mean": round(sum(self._coverage) / answers, 6),
            "answers": answers,
        }
        event = self._event(at_ms, scores, {})
        return {**event, "event": "quality.window", "pins": self._pins}

    def _event(self, at_ms: int, values: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
        event = {"event": "http.window", "ts": at_ms / 1_000, **self._about, "values": values}
        return {**event, "labels": labels} if labels else event


def summed(events: Iterator[Timed]) -> Iterator[Timed]:
    """The stream with its answers and cache reads summed up."""
    arms: dict[tuple[str, str, str], _Sums] = {}
    until_ms: int | None = None
    for at_ms, event in events:
        if until_ms is None:
            until_ms = at_ms + _WINDOW_MS
        while at_ms >= until_ms:
            for key in sorted(arms):
                yield from arms[key].events(until_ms)
            until_ms += _WINDOW_MS
        if event["event"] not in _SUMMED_UP:
            yield at_ms, _with_histogram(event) if "baseline" in event else event
        elif event["event"] == "answer.served":
            key = (event["service"], event["region"], event["arm"])
            if key not in arms:
                about = dict(zip(("service", "region", "arm"), key, strict=True))
                arms[key] = _Sums(about, event["pins"])
            arms[key].add(event)


def _with_histogram(event: dict[str, Any]) -> dict[str, Any]:
    """A known good set that names the histogram, too: it is the same latency."""
    baseline = dict(event["baseline"])
    if "latency_seconds" in baseline:
        baseline[_HISTOGRAM] = baseline["latency_seconds"]
    return {**event, "baseline": baseline}
