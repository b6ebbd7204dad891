"""Functions of windows as operators.

What is made of a window is remembered, and made again only when a sample came or went.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

from rollbackd.promql.accumulators import Accumulator
from rollbackd.promql.entries import Entry
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.extents import Extent
from rollbackd.promql.following import Following, Glance, Look, Plain
from rollbackd.promql.operators import Context, Scalar, Windows, never_fails
from rollbackd.promql.range_functions import RangeFunction
from rollbackd.promql.selection import RangeSelector
from rollbackd.promql.series import Series
from rollbackd.promql.tracks import Track
from rollbackd.promql.unnamed import SAME_LABELS
from rollbackd.promql.values import Columns, Element, have_duplicates


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
        self.never_fails = (
            isinstance(operand, RangeSelector)
            and self.one_name
            and function.never_fails
            and all(never_fails(p) for p in parameters)
        )
        self._following: Following | None = None
        self._followed_with: list[float] = []
        self._checked: Sequence[object] | None = None

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each window that the function has a value for."""
        return self.columns(ctx).elements()

    def columns(self, ctx: Context) -> Columns:
        """The same as columns."""
        parameters = [p.scalar(ctx) for p in self.parameters]
        operand = self.operand
        entry = operand.entry(ctx.store) if isinstance(operand, RangeSelector) else None
        if entry is not None and isinstance(operand, RangeSelector):
            result = self._followed(operand, entry, ctx, parameters)
        else:
            result = self._computed(ctx, parameters)
        if not self.one_name and result.labels is not self._checked:
            if have_duplicates(result.elements()):
                raise EvaluationError(SAME_LABELS)
            self._checked = result.labels
        return result

    def extent(self, ctx: Context, *, anew: bool = False) -> Extent | None:
        """That of the samples, where the function makes nothing greater or less of them."""
        operand = self.operand
        if not isinstance(operand, RangeSelector):
            return None
        if not self.function.stays_inside(*(p.scalar(ctx) for p in self.parameters)):
            return None
        found = operand.extent(ctx, anew=anew)
        return None if found is None else found.rounded()

    def _computed(self, ctx: Context, parameters: list[float]) -> Columns:
        summarize, finish = self.function.summarize, self.function.finish
        labels, values = [], []
        for window in self.operand.windows(ctx):
            value = summarize(window, *parameters)
            if value is not None:
                if finish is not None:
                    value = finish(value, window.start_ms, window.end_ms, ctx.now_ms)
                labels.append(window.labels if self.keeps_name else window.bare)
                values.append(value)
        return Columns(labels, values)

    def _followed(
        self, operand: RangeSelector, entry: Entry, ctx: Context, parameters: list[float]
    ) -> Columns:
        start, end = operand.bounds(ctx)
        if start > end:
            return Columns((), ())
        following = self._following
        if following is None or parameters != self._followed_with:
            following = Following(self._looks(parameters), keeps_name=self.keeps_name)
            self._following, self._followed_with = following, parameters
        labels, values = following.follow(entry, start, end)
        if ctx.seen is not None:
            ctx.seen.add(*following.seen())
        finish = self.function.finish
        if finish is None:
            return Columns(labels, values)
        edges = repeat(start), repeat(end), repeat(ctx.now_ms)
        return Columns(labels, list(map(finish, values, *edges)))

    def _looks(self, parameters: list[float]) -> Callable[[], Look]:
        """What makes the summary of one series, by following it if there is a way."""
        summarize: Callable[..., Any] = self.function.summarize

        def look(series: Series, start_ms: int, end_ms: int) -> Glance | None:
            window = series.window(start_ms, end_ms)
            if window is None:
                return None
            return summarize(window, *parameters), window.first_ms, window.last_ms

        accumulator: Callable[..., Accumulator] | None = self.function.accumulator
        if accumulator is None:
            plain = Plain(look)
            return lambda: plain
        return lambda: Track(accumulator(*parameters), look)
