"""The baseline window of a known good set, measured from the live series."""

import math
from collections.abc import Callable, Iterable

import msgspec

from rollbackd.documents.diagnostics import Diagnostic, Position, Severity
from rollbackd.model.known_good import BASELINE_ARM, Baseline
from rollbackd.model.labels import Labels, Scope
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.matchers import Selector
from rollbackd.promql.values import quantile_of
from rollbackd.settings import PinSettings, ScopeLabels
from rollbackd.triggers.engine import Engine

_QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
_ARM = "arm"


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a window gave."""

    baseline: Baseline
    #: Metrics and ratios without a single sample, and windowed ones with too few.
    empty: list[str]


def kept_series(settings: PinSettings) -> list[str]:
    """Expressions that make the engine keep what a window is measured from, so long as it lasts."""
    windowed = (each.name for each in settings.windowed)
    named = {*settings.metrics, *windowed, *(text for _, text in _selectors(settings))}
    counted = {_counted(text, settings.window_ms) for text in named if _flaw(text) is None}
    return sorted(counted)


def unmeasurable(settings: PinSettings, file: str) -> list[Diagnostic]:
    """What of `pins.ratios` is no selector."""
    found: list[Diagnostic] = []
    for name, text in _selectors(settings):
        flaw = _flaw(text)
        if flaw is not None:
            message = f"`pins.ratios` `{name}`: `{text}` is not a selector: {flaw.message}"
            fix = 'write a metric with its labels, e.g. `requests{code=~"5.."}`'
            where = Position(file, 1, 1)
            found.append(Diagnostic(flaw.id, Severity.ERROR, message, where, fix=fix))
    return found


class Measuring:
    """Reads raw samples, so that percentiles are of all requests of an arm and never averaged."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        settings: Callable[[], PinSettings],
        scope_labels: ScopeLabels,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._scope_labels = scope_labels

    def measure(self, scope: Scope, arm: str, *, window_ms: int, now_ms: int) -> Measured:
        """The statistics of the last `window_ms`.

        Raises ValueError for one over fewer samples than the settings want, with the counts.
        """
        baseline: Baseline = {}
        settings = self._settings()

        def mine(labels: Labels) -> bool:
            return self._is(scope, arm, labels)

        def read(text: str) -> list[float]:
            found = self._engine().values(
                _selector(text),
                now_ms - window_ms,
                now_ms,
                lambda labels: self._is(scope, arm, labels),
            )
            return [value for value in found if not math.isnan(value)]

        for metric in settings.metrics:
            baseline[metric] = statistics_of(read(metric))
        for windowed in settings.windowed:
            # a percentile of means is not one of requests
            kept = {"mean", "count"}
            found = {k: v for k, v in statistics_of(read(windowed.name)).items() if k in kept}
            enough = found["count"] >= windowed.min_samples
            baseline[windowed.name] = found if enough else {"count": 0.0}
        for ratio in settings.ratios:
            among = len(read(ratio.among))
            share = len(read(ratio.of)) / among if among else 0.0
            baseline[ratio.name] = {"ratio": share, "count": float(among)}
        empty = [name for name, statistics in baseline.items() if not statistics["count"]]
        measured = {name: s for name, s in baseline.items() if name not in empty}
        refuse_few(measured, settings)
        return Measured(baseline=measured, empty=empty)

    def _is(self, scope: Scope, arm: str, labels: Labels) -> bool:
        found = dict(labels)
        return (
            found.get(_ARM, BASELINE_ARM) == arm
            and found.get(self._scope_labels.service) == scope.service
            and found.get(self._scope_labels.region, "global") == scope.region
        )


def statistics_of(values: list[float]) -> dict[str, float]:
    """p50, p95, p99 (linear between ranks, as PromQL's `quantile_over_time`), mean and count."""
    if not values:
        return {"count": 0.0}
    # sorting what is sorted costs little, and an arm may have answered a million times
    ordered = sorted(values)
    found = {name: quantile_of(q, ordered) for name, q in _QUANTILES.items()}
    return {**found, "mean": math.fsum(values) / len(values), "count": float(len(values))}


def refuse_few(baseline: Baseline, settings: PinSettings) -> None:
    """Raise ValueError when a metric has too few samples, or does not say how many.

    A baseline of few samples fires on chance: the 95th percentile of 20 is one or two of them.
    """
    few = {
        name: statistics.get("count")
        for name, statistics in baseline.items()
        if statistics.get("count", 0.0) < settings.at_least(name)
    }
    if few:
        counts = ", ".join(f"`{name}` {_number(count)}" for name, count in few.items())
        at_least = ", ".join(str(n) for n in sorted({settings.at_least(name) for name in few}))
        raise ValueError(
            f"too few samples for a baseline, at least {at_least} are needed: {counts};"
            " wait until there are more, or record without a window (`window: 0s`)"
        )


def _number(count: float | None) -> str:
    return "has no `count`" if count is None else f"has {count:g}"


def _selector(text: str) -> Selector:
    """The one selector of a metric name or a PromQL selector. Raises ValueError."""
    reads: Iterable[tuple[Selector, int]] = compile_expr(_counted(text, 1_000)).reads
    ((selector, _window),) = reads
    return selector


def _selectors(settings: PinSettings) -> list[tuple[str, str]]:
    return [(each.name, text) for each in settings.ratios for text in (each.of, each.among)]


def _flaw(text: str) -> PromqlError | None:
    try:
        reads = compile_expr(_counted(text, 1_000)).reads
    except PromqlError as error:
        return error
    return None if len(reads) == 1 else PromqlError("promql/type", "it is several", 0, len(text))


def _counted(text: str, window_ms: int) -> str:
    return f"count_over_time({text}[{window_ms}ms])"
