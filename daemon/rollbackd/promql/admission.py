"""Who reads a series: found once for all that are alike in the labels that anybody looks at."""

from typing import Final

from rollbackd.model.labels import METRIC_NAME, Labels
from rollbackd.promql.entries import Entry
from rollbackd.promql.series import Readers

#: Metrics, and sets of label values, that are remembered.
_METRICS: Final = 10_000
_ALIKE: Final = 50_000


class Admission:
    """The registered selectors, asked which of them match."""

    def __init__(self) -> None:
        #: By a pair that has to be among the labels; selectors that fix none are under None.
        self._by_pair: dict[tuple[str, str] | None, list[Entry]] = {}
        #: By the metric's name; selectors that fix none are under the empty one.
        self._by_metric: dict[str, list[Entry]] = {}
        self._readers: dict[tuple[Entry, ...], Readers] = {}
        self._telling: dict[str, tuple[str, ...]] = {}
        self._known: dict[tuple[str, ...], Readers | None] = {}

    def register(self, entry: Entry) -> None:
        """Ask this selector, too."""
        self._by_pair.setdefault(entry.selector.rarest, []).append(entry)
        self._by_metric.setdefault(entry.selector.name, []).append(entry)
        self._telling.clear()
        self._known.clear()

    def readers_of(self, labels: Labels) -> Readers | None:
        """The readers of a series, or None when nobody reads it."""
        values = dict(labels)
        metric = values.get(METRIC_NAME, "")
        telling = self._telling.get(metric)
        if telling is None:
            telling = self._look_at(metric)
        key = (metric, *[values.get(name, "") for name in telling])
        if key in self._known:
            return self._known[key]
        entries = tuple(
            entry
            for pair in (None, *labels)
            for entry in self._by_pair.get(pair, ())
            if entry.selector.matches(values)
        )
        if len(self._known) >= _ALIKE:
            self._known.clear()
        readers = self._known[key] = self._readers_of(entries) if entries else None
        return readers

    def _look_at(self, metric: str) -> tuple[str, ...]:
        """The labels by which series of a metric differ for the selectors."""
        asked = [*self._by_metric.get(metric, ()), *self._by_metric.get("", ())]
        names = {matcher.name for entry in asked for matcher in entry.selector.matchers}
        if len(self._telling) >= _METRICS:
            self._telling.clear()
        telling = self._telling[metric] = tuple(sorted(names - {METRIC_NAME}))
        return telling

    def _readers_of(self, entries: tuple[Entry, ...]) -> Readers:
        known = self._readers.get(entries)
        if known is None:
            known = self._readers[entries] = Readers(entries)
        return known
