"""What each rule looked at over time, against its threshold."""

import math
from collections.abc import Sequence
from typing import Final

from rollbackd.app.backtest.findings import Curve, Decision, Findings, Line, Transition
from rollbackd.app.backtest.timeline import scopes_of
from rollbackd.app.backtest.times import format_time
from rollbackd.drawing.frame import Frame, Staff, key_item, line_key
from rollbackd.drawing.markup import Markup, element
from rollbackd.model.triggers import RuleState

#: More lines in one plot cannot be told apart.
_MOST_LINES: Final = 4
#: Flags that are nearer to each other than this carry no words.
_ROOM: Final = 130.0
_LEAST_APART: Final = 8.0


def plots(findings: Findings) -> list[Markup]:
    """One figure for each rule and each scope that it was pending or firing in."""
    return [
        _figure(findings, curve, scope)
        for scope in scopes_of(findings)
        for curve in findings.curves
        if any(t.rule == curve.rule and t.scope == scope for t in findings.transitions)
    ]


def _figure(findings: Findings, curve: Curve, scope: str) -> Markup:
    moved = [t for t in findings.transitions if t.rule == curve.rule and t.scope == scope]
    lines = [line for line in curve.lines if any(_is_of(line, t) for t in moved)]
    shown = lines[:_MOST_LINES]
    parts = [
        element("h3", f"{curve.rule} on {scope or 'no scope'}"),
        element("p", _sentence(curve), class_="note"),
        element("pre", curve.expr),
    ]
    if any(_finite(line) for line in shown):
        decisions = [d for d in findings.decisions if d.scope == scope and d.rule == curve.rule]
        parts.append(_drawing(findings, curve, shown, moved=moved, decisions=decisions))
        parts.append(_key(curve, shown, moved))
    if len(lines) > len(shown):
        parts.append(element("p", f"{len(lines) - len(shown)} more lines not drawn", class_="note"))
    return element("div", *parts, class_="figure")


def _sentence(curve: Curve) -> str:
    if curve.threshold is None:
        return "The rule's value while it holds (it compares with no fixed number):"
    side = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below"}
    word = side.get(curve.symbol, "not" if curve.symbol == "!=" else "exactly")
    return (
        f"The rule looks whether this is {word} {curve.threshold:g}, the dashed line; it may have "
        "further conditions:"
    )


def _drawing(
    findings: Findings,
    curve: Curve,
    lines: Sequence[Line],
    *,
    moved: Sequence[Transition],
    decisions: Sequence[Decision],
) -> Markup:
    bounds = [value for line in lines for value in _finite(line)]
    bounds += [t.value for t in moved if math.isfinite(t.value)]
    bounds += [] if curve.threshold is None else [curve.threshold]
    frame = Frame.around(findings.input.from_ms, findings.input.to_ms, bounds)
    parts = [
        *_threshold_area(curve, frame),
        frame.grid(),
        *(_hold(d, frame) for d in decisions if d.would_act),
        *_threshold_line(curve, frame),
        *(frame.line(line.times_ms, line.values, n) for n, line in enumerate(lines, 1)),
        *_flags(decisions, frame),
        *_markers(moved, frame),
    ]
    return frame.svg(parts, f"{curve.rule} over time")


def _threshold_area(curve: Curve, frame: Frame) -> list[Markup]:
    """A tint over the side on which the rule holds."""
    if curve.threshold is None or curve.symbol not in {">", ">=", "<", "<="}:
        return []
    return [frame.breach(curve.threshold, above=curve.symbol.startswith(">"))]


def _threshold_line(curve: Curve, frame: Frame) -> list[Markup]:
    if curve.threshold is None:
        return []
    return [frame.threshold(curve.threshold, f"threshold {curve.threshold:g}")]


def _finite(line: Line) -> list[float]:
    return [v for v in line.values if v is not None and math.isfinite(v)]


def _hold(decision: Decision, frame: Frame) -> Markup:
    title = f"decision {decision.number} open until {format_time(decision.until_ms)}"
    return frame.band(decision.at_ms, decision.until_ms, title)


def _flags(decisions: Sequence[Decision], frame: Frame) -> list[Markup]:
    """A staff for every decision that can be told from the one before, with words where fit."""
    parts = []
    last_staff = last_words = -math.inf
    for decision in decisions:
        x, acts = frame.x.x(decision.at_ms), decision.would_act
        if x - last_staff < _LEAST_APART and not acts:
            continue
        last_staff = x
        said = "would act" if acts else f"no: {decision.reason}"
        title = f"{format_time(decision.at_ms)}: decision {decision.number} {said}"
        words = ""
        if acts or x - last_words >= _ROOM:
            last_words = x
            words = f"{decision.number} {said}"
        staff = Staff(decision.at_ms, words, title, "act" if acts else "no")
        parts.append(frame.staff(staff))
    return parts


def _markers(moved: Sequence[Transition], frame: Frame) -> list[Markup]:
    """A point on the line for each pending and firing that can be told from the one before."""
    parts = []
    last: dict[RuleState, float] = {}
    for transition in moved:
        at_ms, state, value = transition.at_ms, transition.state, transition.value
        # a comparison keeps the value of its left side: this is a point of the line
        if state is RuleState.INACTIVE or not math.isfinite(value):
            continue
        x = frame.x.x(at_ms)
        if x - last.get(state, -math.inf) < _LEAST_APART:
            continue
        last[state] = x
        told = f"{format_time(at_ms)}: {state} at {value:.4g}"
        kind, radius = ("fire", 6) if state is RuleState.FIRING else ("pending", 5)
        parts.append(frame.dot(at_ms, value, told, kind=kind, radius=radius))
    return parts


def _is_of(line: Line, transition: Transition) -> bool:
    """Whether a line is what an instance of the rule was made from."""
    return all(transition.labels.get(name) == value for name, value in line.labels.items())


def _key(curve: Curve, lines: Sequence[Line], moved: Sequence[Transition]) -> Markup:
    items = []
    for n, line in enumerate(lines, 1):
        words = ", ".join(f"{k}={v}" for k, v in sorted(line.labels.items())) or "value"
        items.append(line_key(n, words))
    if any(t.state is RuleState.PENDING for t in moved):
        items.append(key_item(element("circle", cx=11, cy=6, r=5, class_="pending"), "pending"))
    if any(t.state is RuleState.FIRING for t in moved):
        items.append(key_item(element("circle", cx=11, cy=6, r=6, class_="fire"), "fires"))
    if curve.threshold is not None:
        shape = element("rect", x=0, y=0, width=22, height=12, class_="breach")
        items.append(key_item(shape, "the side on which it fires"))
    shape = element("rect", x=0, y=0, width=22, height=12, class_="hold-band")
    items.append(key_item(shape, "an incident would be open"))
    return element("div", *items, class_="key")
