"""`histogram_quantile` over classic histograms."""

import math
from collections.abc import Iterable

from rollbackd.model.labels import METRIC_NAME, Labels
from rollbackd.promql.operators import Context, Scalar, Vector
from rollbackd.promql.values import Element, drop, label_value

_BUCKET = "le"
_DROPPED = frozenset({_BUCKET, METRIC_NAME})

#: (upper bound, cumulative count).
Bucket = tuple[float, float]


class HistogramQuantile:
    """The quantile of each group of buckets that differ only in `le`."""

    one_name = True

    def __init__(self, q: Scalar, operand: Vector) -> None:
        self.q = q
        self.operand = operand

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each histogram; series without a numeric `le` are left out."""
        q = self.q.scalar(ctx)
        histograms: dict[Labels, list[Bucket]] = {}
        for labels, count in self.operand.vector(ctx):
            try:
                bound = float(label_value(labels, _BUCKET))
            except ValueError:
                continue
            histograms.setdefault(drop(labels, _DROPPED), []).append((bound, count))
        return [(labels, bucket_quantile(q, found)) for labels, found in histograms.items()]


def bucket_quantile(q: float, found: Iterable[Bucket]) -> float:
    """Linear interpolation inside the bucket of the rank; promql/quantile.go, bucketQuantile.

    NaN without an `+Inf` bucket, with fewer than two buckets, or without observations.
    """
    if q != q:  # noqa: PLR0124  # NaN
        return math.nan
    if q < 0:
        return -math.inf
    if q > 1:
        return math.inf
    buckets = _monotonic(sorted(found, key=lambda b: b[0]))
    if len(buckets) < 2 or buckets[-1][0] != math.inf:
        return math.nan
    observations = buckets[-1][1]
    if observations == 0:
        return math.nan
    rank = q * observations
    last = len(buckets) - 1
    index = next((i for i in range(last) if buckets[i][1] >= rank), last)
    if index == last:
        return buckets[last - 1][0]
    upper, count = buckets[index]
    if index == 0 and upper <= 0:
        return upper
    lower = 0.0
    if index > 0:
        lower, below = buckets[index - 1]
        count -= below
        rank -= below
    return lower + (upper - lower) * (rank / count if count else math.nan)


def _monotonic(buckets: list[Bucket]) -> list[Bucket]:
    """Equal bounds merged, and counts that never fall: rates of buckets may be slightly off."""
    merged: list[Bucket] = []
    for bound, count in buckets:
        if merged and merged[-1][0] == bound:
            merged[-1] = (bound, merged[-1][1] + count)
        else:
            merged.append((bound, count))
    highest = -math.inf
    result = []
    for bound, count in merged:
        # As in Go: a NaN never lifts the maximum and is kept as it is.
        if count < highest:
            result.append((bound, highest))
        else:
            highest = max(highest, count)
            result.append((bound, count))
    return result
