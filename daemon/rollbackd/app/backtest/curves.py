"""Samples what each rule looks at, for the plots: at most some two thousand points a rule."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from rollbackd.app.backtest.findings import Curve, Line
from rollbackd.model.labels import METRIC_NAME, Labels
from rollbackd.promql.expressions import CompiledExpr
from rollbackd.promql.thresholds import Drawn, drawn
from rollbackd.rulefmt.rule_files import RuleFile, RuleKind
from rollbackd.triggers.engine import Engine

_MOST_POINTS: Final = 2_000
_MOST_LINES: Final = 24


@dataclass(slots=True)
class _Watched:
    """One rule with what it gave so far; a line's points are (place in `times`, value)."""

    name: str
    drawn: Drawn
    compiled: CompiledExpr
    lines: dict[Labels, dict[int, float]] = field(default_factory=dict)


class CurveSampler:
    """Asks the engine for the left side of every alert rule now and then.

    It begins once a second; whenever there are too many points, every other one goes and the
    interval doubles.
    """

    def __init__(self, engine: Engine, rule_files: Iterable[RuleFile]) -> None:
        self._engine = engine
        self._interval_ms = 1_000
        self._due_ms = 0
        self._times = array("q")
        self._watched = [
            _Watched(rule.name, shown, engine.compile(shown.expr))
            for file in rule_files
            for group in file.groups
            for rule in group.rules
            if rule.kind is RuleKind.ALERT
            for shown in [drawn(rule.expr.value)]
        ]

    def sample(self, now_ms: int, *, wanted: bool = False) -> None:
        """Take a point of every rule if one is due, or `wanted`."""
        if now_ms < self._due_ms and not wanted:
            return
        if self._times and self._times[-1] == now_ms:
            return
        self._due_ms = (now_ms // self._interval_ms + 1) * self._interval_ms
        place = len(self._times)
        self._times.append(now_ms)
        for watched in self._watched:
            self._take(watched, place, now_ms)
        if len(self._times) > _MOST_POINTS:
            self._thin()

    def curves(self, rules: Iterable[str]) -> list[Curve]:
        """What was seen of these rules."""
        wanted = set(rules)
        times = list(self._times)
        return [
            Curve(
                rule=watched.name,
                expr=watched.drawn.expr,
                symbol=watched.drawn.symbol,
                threshold=watched.drawn.threshold,
                lines=[
                    Line(
                        labels={k: v for k, v in labels if k != METRIC_NAME},
                        times_ms=times,
                        values=[points.get(place) for place in range(len(times))],
                    )
                    for labels, points in sorted(watched.lines.items())
                ],
            )
            for watched in self._watched
            if watched.name in wanted
        ]

    def _take(self, watched: _Watched, place: int, now_ms: int) -> None:
        try:
            vector = self._engine.query(watched.compiled, now_ms)
        except ValueError:
            # the rule fails as well, and the report says so
            return
        for labels, value in vector:
            points = watched.lines.get(labels)
            if points is None:
                if len(watched.lines) >= _MOST_LINES:
                    continue
                points = watched.lines[labels] = {}
            points[place] = value

    def _thin(self) -> None:
        self._interval_ms *= 2
        self._times = self._times[::2]
        for watched in self._watched:
            for labels, points in watched.lines.items():
                watched.lines[labels] = {p // 2: v for p, v in points.items() if not p % 2}
