"""Functions of a window: one number from the samples of one series in one range.

Each takes a Window that holds at least one sample and its scalar parameters, and returns None
when the series is left out of the result. What depends on the edges of the range too is a second
step, so that the first can be remembered while the samples stay the same. Formulas:
promql/functions.go of Prometheus 2.42.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import mul
from typing import Any, Final, NamedTuple

from rollbackd.promql.accumulators import (
    Accumulator,
    Count,
    Deviation,
    Greatest,
    Least,
    Mean,
    Ranked,
    Sum,
    Variance,
)
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.values import divide, exact_sum, quantile_of
from rollbackd.promql.windows import Window

#: A first or last sample nearer to the edge than this many mean distances is extrapolated to it.
_EXTRAPOLATION_THRESHOLD = 1.1


def increase_of(values: Sequence[float]) -> float:
    """Last minus first, plus what was lost at each counter reset."""
    result = values[-1] - values[0]
    for before, after in pairwise(values):
        if after < before:
            result += before
    return result


class Growth(NamedTuple):
    """What `rate`, `increase` and `delta` need of a window, wherever its edges are."""

    first_ms: int
    last_ms: int
    samples: int
    first: float
    #: Last minus first, and for counters what was lost at resets.
    grown: float


def counter_growth(window: Window) -> Growth | None:
    """The growth of a counter; None for fewer than two samples."""
    return _growth(window, counter=not window.monotonic)


def gauge_growth(window: Window) -> Growth | None:
    """The difference of a gauge; None for fewer than two samples."""
    return _growth(window, counter=False)


def _growth(window: Window, *, counter: bool) -> Growth | None:
    first_ms, last_ms, count = window.first_ms, window.last_ms, len(window)
    # Samples of one series at one time exist only here; they show no growth over time.
    if count < 2 or first_ms == last_ms:
        return None
    first = window.first
    grown = increase_of(window.values) if counter else window.last - first
    return Growth(first_ms, last_ms, count, first, grown)


def delta(growth: Growth, start_ms: int, end_ms: int, _now_ms: int) -> float:
    """The growth over the whole range, from samples that do not reach its edges."""
    return _extrapolated(growth, start_ms, end_ms, math.inf)


def increase(growth: Growth, start_ms: int, end_ms: int, _now_ms: int) -> float:
    """Growth of a counter over the range."""
    first_ms, last_ms, _, first, grown = growth
    if grown > 0 and first >= 0:
        # A counter cannot have been below zero.
        return _extrapolated(
            growth, start_ms, end_ms, (last_ms - first_ms) / 1_000 * (first / grown)
        )
    return _extrapolated(growth, start_ms, end_ms, math.inf)


def rate(growth: Growth, start_ms: int, end_ms: int, now_ms: int) -> float:
    """Growth of a counter a second."""
    return increase(growth, start_ms, end_ms, now_ms) / ((end_ms - start_ms) / 1_000)


def _extrapolated(growth: Growth, start_ms: int, end_ms: int, most_to_start: float) -> float:
    first_ms, last_ms, samples, _, grown = growth
    sampled = (last_ms - first_ms) / 1_000
    to_start = min((first_ms - start_ms) / 1_000, most_to_start)
    to_end = (end_ms - last_ms) / 1_000
    mean_distance = sampled / (samples - 1)
    threshold = mean_distance * _EXTRAPOLATION_THRESHOLD
    covered = sampled
    covered += to_start if to_start < threshold else mean_distance / 2
    covered += to_end if to_end < threshold else mean_distance / 2
    return grown * (covered / sampled)


def irate(window: Window) -> float | None:
    """Growth a second between the last two samples."""
    if len(window) < 2:
        return None
    (before_ms, before), (last_ms, last) = window.last_two
    if last_ms == before_ms:
        return None
    return (last if last < before else last - before) / ((last_ms - before_ms) / 1_000)


def idelta(window: Window) -> float | None:
    """Difference of the last two samples."""
    if len(window) < 2:
        return None
    (before_ms, before), (last_ms, last) = window.last_two
    return None if last_ms == before_ms else last - before


def sum_over_time(window: Window) -> float:
    """The sum."""
    return exact_sum(window.values)


def avg_over_time(window: Window) -> float:
    """The mean."""
    values = window.values
    count = len(values)
    total = exact_sum(values)
    if math.isinf(total):
        return exact_sum([v / count for v in values])
    return total / count


def count_over_time(window: Window) -> float:
    """The number of samples."""
    return float(len(window))


def min_over_time(window: Window) -> float:
    """The least; NaN only when there is nothing else."""
    values = window.values
    least = min(values)
    if least == least:  # noqa: PLR0124  # NaN
        return least
    return min((v for v in values if v == v), default=math.nan)  # noqa: PLR0124


def max_over_time(window: Window) -> float:
    """The greatest; NaN only when there is nothing else."""
    values = window.values
    greatest = max(values)
    if greatest == greatest:  # noqa: PLR0124  # NaN
        return greatest
    return max((v for v in values if v == v), default=math.nan)  # noqa: PLR0124


def last_over_time(window: Window) -> float:
    """The newest."""
    return window.last


def present_over_time(_window: Window) -> float:
    """1: there is a sample."""
    return 1.0


def quantile_over_time(window: Window, q: float) -> float:
    """The q-quantile."""
    return quantile_of(q, list(window.values))


def mad_over_time(window: Window) -> float:
    """The median of the distances from the median."""
    values = list(window.values)
    median = quantile_of(0.5, values)
    return quantile_of(0.5, [abs(v - median) for v in values])


def stdvar_over_time(window: Window) -> float:
    """The population variance, by Welford with Neumaier's compensation."""
    count, mean, mean_c, total, total_c = 0, 0.0, 0.0, 0.0, 0.0
    for value in window.values:
        count += 1
        distance = value - (mean + mean_c)
        mean, mean_c = _compensated(distance / count, mean, mean_c)
        total, total_c = _compensated(distance * (value - (mean + mean_c)), total, total_c)
    return (total + total_c) / count


def stddev_over_time(window: Window) -> float:
    """The population standard deviation."""
    variance = stdvar_over_time(window)
    return math.sqrt(variance) if variance >= 0 else math.nan


def changes(window: Window) -> float:
    """How often the value changed."""
    return float(
        sum(
            1
            for before, after in pairwise(window.values)
            if after != before and (after == after or before == before)  # noqa: PLR0124  # NaN
        )
    )


def resets(window: Window) -> float:
    """How often the value fell."""
    return float(sum(1 for before, after in pairwise(window.values) if after < before))


class Line(NamedTuple):
    """The least squares line through a window, from its first sample on, and where to look."""

    slope: float
    intercept: float
    first_ms: int
    seconds: float


def deriv(window: Window) -> float | None:
    """The slope a second by least squares."""
    return None if len(window) < 2 else _regression(window).slope


def line(window: Window, seconds: float) -> Line | None:
    """What `predict_linear` needs of a window; None for fewer than two samples."""
    return None if len(window) < 2 else _regression(window, seconds)


def predict_linear(line: Line, _start_ms: int, _end_ms: int, now_ms: int) -> float:
    """The value that the line has some seconds from the evaluation time."""
    return line.slope * ((now_ms - line.first_ms) / 1_000 + line.seconds) + line.intercept


def double_exponential_smoothing(window: Window, smooth: float, trend: float) -> float | None:
    """Holt-Winters: smoothed value with trend. Raises EvaluationError for factors outside 0..1."""
    for name, factor in (("smoothing", smooth), ("trend", trend)):
        if not 0 < factor < 1:
            raise EvaluationError(f"invalid {name} factor. Expected: 0 < factor < 1, got: {factor}")
    values = window.values
    if len(values) < 2:
        return None
    before, level, slope = 0.0, values[0], values[1] - values[0]
    for index in range(1, len(values)):
        if index > 1:
            slope = trend * (level - before) + (1 - trend) * slope
        before, level = level, smooth * values[index] + (1 - smooth) * (level + slope)
    return level


def _compensated(increment: float, total: float, lost: float) -> tuple[float, float]:
    result = total + increment
    if abs(total) >= abs(increment):
        return result, lost + ((total - result) + increment)
    return result, lost + ((increment - result) + total)


def _regression(window: Window, seconds: float = 0.0) -> Line:
    values, first_ms = window.values, window.first_ms
    first = values[0]
    if all(v == first for v in values):
        flat = (math.nan, math.nan) if math.isinf(first) else (0.0, first)
        return Line(*flat, first_ms, seconds)
    xs = [(t - first_ms) / 1_000 for t in window.times]
    count = len(xs)
    sum_x, sum_y = exact_sum(xs), exact_sum(values)
    sum_xy = exact_sum(list(map(mul, xs, values)))
    sum_xx = exact_sum(list(map(mul, xs, xs)))
    slope = divide(sum_xy - sum_x * sum_y / count, sum_xx - sum_x * sum_x / count)
    return Line(slope, sum_y / count - slope * sum_x / count, first_ms, seconds)


@dataclass(frozen=True, slots=True)
class RangeFunction:
    """A function of windows in two steps.

    `summarize(window, *parameters)` depends on the samples alone; None leaves the series out.
    `finish(summary, start_ms, end_ms, now_ms)` makes the value from the summary and the range's
    edges; without it the summary is the value.
    """

    summarize: Callable[..., Any]
    finish: Callable[[Any, int, int, int], float] | None = None
    #: Made with the parameters, it follows the window and has the same value.
    accumulator: Callable[..., Accumulator] | None = None
    #: No parameter makes it raise EvaluationError.
    never_fails: bool = True
    #: Called with the parameters: the value is never outside of the samples of the window.
    stays_inside: Callable[..., bool] = lambda *_parameters: False


def _always() -> bool:
    return True


RANGE_FUNCTIONS: Final[dict[str, RangeFunction]] = {
    "rate": RangeFunction(counter_growth, rate),
    "increase": RangeFunction(counter_growth, increase),
    "delta": RangeFunction(gauge_growth, delta),
    "irate": RangeFunction(irate),
    "idelta": RangeFunction(idelta),
    "sum_over_time": RangeFunction(sum_over_time, accumulator=Sum),
    "avg_over_time": RangeFunction(avg_over_time, accumulator=Mean, stays_inside=_always),
    "count_over_time": RangeFunction(count_over_time, accumulator=Count),
    "min_over_time": RangeFunction(min_over_time, accumulator=Least, stays_inside=_always),
    "max_over_time": RangeFunction(max_over_time, accumulator=Greatest, stays_inside=_always),
    "last_over_time": RangeFunction(last_over_time, stays_inside=_always),
    "present_over_time": RangeFunction(present_over_time),
    "quantile_over_time": RangeFunction(
        quantile_over_time, accumulator=Ranked, stays_inside=lambda q: 0 <= q <= 1
    ),
    "mad_over_time": RangeFunction(mad_over_time),
    "stddev_over_time": RangeFunction(stddev_over_time, accumulator=Deviation),
    "stdvar_over_time": RangeFunction(stdvar_over_time, accumulator=Variance),
    "changes": RangeFunction(changes),
    "resets": RangeFunction(resets),
    "deriv": RangeFunction(deriv),
    "predict_linear": RangeFunction(line, predict_linear),
    "double_exponential_smoothing": RangeFunction(double_exponential_smoothing, never_fails=False),
    "holt_winters": RangeFunction(double_exponential_smoothing, never_fails=False),
}

#: Functions whose scalar parameter stands before the range.
PARAMETER_FIRST: Final = frozenset({"quantile_over_time"})

#: It acts like an offset, so it keeps the metric name.
KEEPS_NAME: Final = frozenset({"last_over_time"})
