"""Functions of windows as operators, remembering what did not change.

Most series are silent between two evaluations, and their windows hold the same samples. So the
summary of each window is kept with what it was made from, and made again only when a sample came,
went, or lies outside the range by now.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rollbackd.model.labels import Labels
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.functions import SAME_LABELS
from rollbackd.promql.operators import Context, Scalar, Windows
from rollbackd.promql.range_functions import RangeFunction
from rollbackd.promql.selection import RangeSelector, note
from rollbackd.promql.series import Series
from rollbackd.promql.values import Element, have_duplicates

#: Memory of series that are gone is dropped when there is this much of it.
_SLACK = 64


class _Summary(NamedTuple):
    """A summary and the range for which it holds."""

    #: `edits + len(times)` of the series when it was made.
    edition: int
    #: Where the range started then; an earlier start could take in more.
    start_ms: int
    #: The first sample inside; a later start would lose it.
    first_ms: int
    last_ms: int
    labels: Labels
    value: Any


class OverRange:
    """A function of each window, e.g. `rate(x[5m])`."""

    def __init__(
        self,
        function: RangeFunction,
        operand: Windows,
        parameters: Sequence[Scalar],
        *,
        keeps_name: bool,
    ) -> None:
        self.function = function
        self.operand = operand
        self.parameters = parameters
        self.keeps_name = keeps_name
        self.one_name = operand.one_name
        self._known: dict[Series, _Summary] = {}
        self._known_for: list[float] = []

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each window that the function has a value for."""
        parameters = [p.scalar(ctx) for p in self.parameters]
        if isinstance(self.operand, RangeSelector) and self.function.of_samples_alone:
            result = self._remembered(self.operand, ctx, parameters)
        else:
            result = self._computed(ctx, parameters)
        if not self.one_name and have_duplicates(result):
            raise EvaluationError(SAME_LABELS)
        return result

    def _computed(self, ctx: Context, parameters: list[float]) -> list[Element]:
        summarize, finish = self.function.summarize, self.function.finish
        result: list[Element] = []
        for window in self.operand.windows(ctx):
            value = summarize(window, *parameters)
            if value is not None:
                if finish is not None:
                    value = finish(value, window.start_ms, window.end_ms)
                result.append((window.labels if self.keeps_name else window.bare, value))
        return result

    def _remembered(
        self, operand: RangeSelector, ctx: Context, parameters: list[float]
    ) -> list[Element]:
        start, end = operand.bounds(ctx)
        if start > end:
            return []
        finish, seen = self.function.finish, ctx.seen
        members = ctx.store.members(operand.selector)
        if parameters != self._known_for or len(self._known) > 2 * len(members) + _SLACK:
            self._known.clear()
            self._known_for = parameters
        known = self._known.get
        result: list[Element] = []
        for series in members:
            summary = known(series)
            if (
                summary is None
                or summary.edition != series.edits + len(series.times)
                or not summary.start_ms <= start <= summary.first_ms
                or series.newest > end
            ):
                summary = self._summarized(series, start, end, parameters)
                if summary is None:
                    continue
            if seen is not None:
                note(seen, series, summary.last_ms)
            value = summary.value
            if value is not None:
                result.append(
                    (summary.labels, value if finish is None else finish(value, start, end))
                )
        return result

    def _summarized(
        self, series: Series, start: int, end: int, parameters: list[float]
    ) -> _Summary | None:
        window = series.window(start, end)
        if window is None:
            return None
        summary = _Summary(
            series.edits + len(series.times),
            start,
            window.times[0],
            window.times[-1],
            window.labels if self.keeps_name else window.bare,
            self.function.summarize(window, *parameters),
        )
        # With samples behind the end, or intervals, time alone can change the window's content.
        if series.held is None and series.newest <= end:
            self._known[series] = summary
        return summary
