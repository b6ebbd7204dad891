"""`lint/quantile-range`: a quantile that is no share of the samples.

Prometheus evaluates it all the same, with an annotation that nobody reads in an alert rule.
"""

import math
from collections.abc import Iterator
from typing import Final

from rollbackd.documents.diagnostics import Diagnostic
from rollbackd.promql.outline import Form, Part
from rollbackd.triggers.lints.subjects import Pack, Subject

#: Their first operand is the quantile.
_CALLS: Final = frozenset({"quantile_over_time", "histogram_quantile"})
_AGGREGATION: Final = "quantile"
_PERCENT: Final = 100.0


def quantile_range(subject: Subject, _pack: Pack) -> Iterator[Diagnostic]:
    """One warning for each quantile that is written as a number and is not from 0 to 1."""
    for part in subject.expr.walk():
        if not _asks_for_quantile(part):
            continue
        quantile = part.parts[0]
        if quantile.value is not None and not 0.0 <= quantile.value <= 1.0:
            yield subject.warning(
                "lint/quantile-range",
                f"the quantile `{quantile.value:g}` is not from 0 to 1: `{part.name}` gives "
                f"{_given(quantile.value)} whatever the samples are",
                quantile,
                fix=_fix(quantile.value),
            )


def _asks_for_quantile(part: Part) -> bool:
    if part.form is Form.AGGREGATION:
        return part.name == _AGGREGATION
    return part.form is Form.CALL and part.name in _CALLS


def _given(quantile: float) -> str:
    if math.isnan(quantile):
        return "NaN"
    return "-Inf" if quantile < 0.0 else "+Inf"


def _fix(quantile: float) -> str:
    if 1.0 < quantile <= _PERCENT:
        return f"write a percentage as a share: `{quantile / _PERCENT:g}`"
    return "write a number from `0` (the least) to `1` (the greatest)"
