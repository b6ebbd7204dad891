"""What a rule's expression was at each time of the recorded window, worked out from its samples.

The engine's own operators do it, so a value is what the rule saw wherever the window reaches far
enough back; before that it is the value over the part that was kept.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from rollbackd.model.events import Sample
from rollbackd.model.incidents import Incident, SeriesWindow
from rollbackd.model.labels import METRIC_NAME, Labels, labels_of
from rollbackd.model.triggers import Trigger
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.store import Store
from rollbackd.promql.thresholds import drawn

#: A curve has at most so many points and lines; more samples than this are not played again.
MOST_POINTS: Final = 120
MOST_LINES: Final = 4
MOST_SAMPLES: Final = 100_000
_LEAST_STEP_MS: Final = 1_000
_FOREVER: Final = 1 << 60


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One element of the expression over time; None where it had no value."""

    labels: dict[str, str]
    values: list[float | None]


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule compared with its threshold, where it compares with a number."""

    rule: str
    expr: str
    symbol: str = ""
    threshold: float | None = None
    times_ms: list[int] = []
    lines: list[Line] = []
    #: From here on the window was as long as the rule looks back.
    whole_from_ms: int = 0
    #: Why there is no curve.
    missing: str = ""


def curves_of(incident: Incident) -> list[Curve]:
    """One curve for each rule that triggered, in the order of the triggers."""
    evidence = incident.evidence
    if evidence is None or not evidence.windows:
        return []
    rules = {trigger.rule: trigger for trigger in incident.triggers if trigger.expr}
    return [
        _curve(trigger, evidence.windows, evidence.captured_at_ms) for trigger in rules.values()
    ]


def expanded(window: SeriesWindow) -> list[tuple[int, float]]:
    """As many samples as a thinned window stands for, evenly spaced between those that it has."""
    kept = window.samples
    step = -(-window.count // len(kept))
    spread: list[tuple[int, float]] = []
    for index, (time_ms, value) in enumerate(kept):
        weight = step if index else window.count - step * (len(kept) - 1)
        other = kept[index - 1] if index else kept[min(1, len(kept) - 1)]
        gap = abs(time_ms - other[0]) / step
        spread += [(time_ms - round(gap * back), value) for back in range(weight - 1, -1, -1)]
    return spread


def series_of(window: SeriesWindow) -> Labels:
    """The labels with the metric name."""
    return labels_of({METRIC_NAME: window.metric, **window.labels})


def _curve(trigger: Trigger, windows: Sequence[SeriesWindow], end_ms: int) -> Curve:
    try:
        shown = drawn(trigger.expr)
        compiled = compile_expr(shown.expr)
    except PromqlError as error:
        return Curve(rule=trigger.rule, expr=trigger.expr, missing=str(error))
    curve = Curve(
        rule=trigger.rule, expr=shown.expr, symbol=shown.symbol, threshold=shown.threshold
    )
    read = [w for w in windows if any(s.matches(dict(series_of(w))) for s, _ in compiled.reads)]
    if sum(window.count for window in read) > MOST_SAMPLES:
        return msgspec.structs.replace(curve, missing="the window has too many samples")
    if not read:
        return msgspec.structs.replace(curve, missing="no series of it was recorded")
    store = Store(lateness_ms=_FOREVER, ahead_ms=_FOREVER, max_series=_FOREVER, retain_ms=_FOREVER)
    for selector, window_ms in compiled.reads:
        store.register(selector, window_ms=window_ms)
    for window in read:
        labels = series_of(window)
        store.ingest([Sample(labels, v, t) for t, v in expanded(window)], end_ms)
    begin_ms = min(window.samples[0][0] for window in read)
    step_ms = max(_LEAST_STEP_MS, -(-(end_ms - begin_ms) // MOST_POINTS))
    times = list(range(end_ms, begin_ms - 1, -step_ms))[::-1]
    found: dict[Labels, dict[int, float]] = {}
    try:
        for time_ms in times:
            for labels, value in compiled.query(store, time_ms):
                if labels in found or len(found) < MOST_LINES:
                    found.setdefault(labels, {})[time_ms] = value
    except ValueError as error:
        return msgspec.structs.replace(curve, missing=str(error))
    return msgspec.structs.replace(
        curve,
        times_ms=times,
        lines=[
            Line(
                labels={k: v for k, v in labels if k != METRIC_NAME},
                values=[_finite(points.get(time_ms)) for time_ms in times],
            )
            for labels, points in sorted(found.items())
        ],
        whole_from_ms=begin_ms + compiled.longest_window_ms,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
