"""Subqueries, remembering the steps that no sample has changed.

The steps of a subquery lie on fixed times, so between two evaluations there are one or two new
ones. An old one is computed again only when a sample came in at or before its time.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from rollbackd.model.labels import Labels
from rollbackd.promql.entries import Entry
from rollbackd.promql.freshness import Seen
from rollbackd.promql.matchers import Selector
from rollbackd.promql.operators import Context, Scalar, ToVector, Vector
from rollbackd.promql.selection import When
from rollbackd.promql.series import Series
from rollbackd.promql.store import Store
from rollbackd.promql.values import Element, drop_name
from rollbackd.promql.windows import Window

#: More steps than this in one subquery are refused, as Prometheus refuses points of a graph.
MAX_SUBQUERY_STEPS: Final = 11_000

_FOREVER: Final = 1 << 62


class Subquery:
    """An instant expression evaluated at every step of a range.

    Steps lie on multiples of the step since the epoch, whatever the evaluation time. `reads` are
    the selectors inside, or None when a step may depend on samples behind its time.
    """

    def __init__(
        self,
        operand: Vector | Scalar,
        range_ms: int,
        step_ms: int,
        when: When,
        *,
        reads: Sequence[Selector] | None = None,
    ) -> None:
        self.operand: Vector = operand if isinstance(operand, Vector) else ToVector(operand)
        self.range_ms = range_ms
        self.step_ms = step_ms
        self.when = when
        self.one_name = self.operand.one_name
        self._memory = _Memory(reads)

    def windows(self, ctx: Context) -> Iterator[Window]:
        """One window for each label set that the expression gave at some step."""
        end = self.when.time(ctx)
        start = end - self.range_ms
        if ctx.since_ms is not None and ctx.since_ms > start:
            start = ctx.since_ms
        rows: dict[Labels, tuple[list[int], list[float]]] = {}
        # Prometheus 2 starts at the first step at or after the range's start.
        first = -(-start // self.step_ms) * self.step_ms
        self._memory.forget(ctx, first)
        for time_ms in range(first, end + 1, self.step_ms):
            for labels, value in self._step(ctx, time_ms):
                times, values = rows.setdefault(labels, ([], []))
                times.append(time_ms)
                values.append(value)
        for labels in sorted(rows):
            times, values = rows[labels]
            yield Window(
                labels, drop_name(labels), times, values,
                low=0, high=len(times), start_ms=start, end_ms=end,
            )  # fmt: skip

    def _step(self, ctx: Context, time_ms: int) -> list[Element]:
        known = self._memory.steps.get(time_ms)
        if known is None:
            inner = Context(ctx.store, time_ms, ctx.since_ms, Seen())
            inner.origin_ms = ctx.origin_ms
            known = self.operand.vector(inner), inner.seen
            if self._memory.works:
                self._memory.steps[time_ms] = known
        elements, seen = known
        if ctx.seen is not None and seen is not None:
            ctx.seen.include(seen)
        return elements


class _Memory:
    """The steps of one subquery, as long as they hold."""

    def __init__(self, reads: Sequence[Selector] | None) -> None:
        #: What each step gave, and what it has read.
        self.steps: dict[int, tuple[list[Element], Seen | None]] = {}
        #: Whether there is anything to be remembered in the store of the last evaluation.
        self.works = False
        self._reads = None if reads is None else tuple(dict.fromkeys(reads))
        self._entries: list[Entry | None] = []
        self._cursors: list[int] = []
        self._since_ms: int | None = None
        #: The newest sample of each series when it was last looked at.
        self._newest: dict[Series, int] = {}

    def forget(self, ctx: Context, first_ms: int) -> None:
        """Drop the steps before the first one, and those that do not hold any more."""
        if self._reads is None:
            return
        entries = [ctx.store.entry(selector) for selector in self._reads]
        if entries != self._entries or ctx.since_ms != self._since_ms:
            self._entries, self._since_ms = entries, ctx.since_ms
            self._cursors = [-1] * len(entries)
            self._newest.clear()
        self.works = None not in entries
        floor = min(
            (self._floor(index, ctx.store) for index in range(len(entries)) if self.works),
            default=_FOREVER,
        )
        gone = [time_ms for time_ms in self.steps if time_ms < first_ms or time_ms >= floor]
        for time_ms in gone:
            del self.steps[time_ms]

    def _floor(self, index: int, store: Store) -> int:
        """No sample that came since the last time is older than this."""
        entry = self._entries[index]
        assert entry is not None
        changed = entry.since(self._cursors[index])
        self._cursors[index] = entry.cursor
        if changed is None:
            self._newest.update((series, series.newest) for series in entry.members)
            return -_FOREVER
        floor = _FOREVER
        for series in set(changed):
            known = self._newest.get(series, -_FOREVER)
            if series.held is not None or (known == -_FOREVER and series.cut):
                return -_FOREVER
            if known != -_FOREVER:
                floor = min(floor, known - store.lateness_ms)
            elif series.times:
                floor = min(floor, series.times[0])
            self._newest[series] = series.newest
        if len(self._newest) > 2 * len(entry.members) * len(self._entries) + 64:
            self._cursors = [-1] * len(self._entries)
            self._newest.clear()
        return floor
