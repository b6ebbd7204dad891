"""What each rule looked at over time, against its threshold."""

import math
from collections.abc import Sequence
from typing import Final

from rollbackd.app.backtest.findings import Curve, Decision, Findings, Line, Transition
from rollbackd.app.backtest.html.axes import RIGHT, WIDTH, TimeScale, ValueScale
from rollbackd.app.backtest.html.markup import Markup, element, joined
from rollbackd.app.backtest.timeline import scopes_of
from rollbackd.app.backtest.times import format_time
from rollbackd.model.triggers import RuleState

_LEFT: Final = 64.0
_TOP: Final = 30.0
_BOTTOM: Final = 250.0
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
    x_scale = TimeScale(findings.input.from_ms, findings.input.to_ms, _LEFT)
    bounds = [value for line in lines for value in _finite(line)]
    bounds += [t.value for t in moved if math.isfinite(t.value)]
    bounds += [] if curve.threshold is None else [curve.threshold]
    y_scale = ValueScale.around(bounds, top=_TOP, bottom=_BOTTOM)
    parts = [
        *_threshold_area(curve, y_scale),
        x_scale.grid(_TOP, _BOTTOM),
        y_scale.grid(_LEFT),
        *(_hold(d, x_scale) for d in decisions if d.would_act),
        *_threshold_line(curve, y_scale),
        *(_path(line, f"line s{n}", x_scale, y_scale) for n, line in enumerate(lines, 1)),
        *_flags(decisions, x_scale),
        *_markers(moved, x_scale, y_scale),
    ]
    label = f"{curve.rule} over time"
    svg = element("svg", *parts, viewBox=f"0 0 {WIDTH:g} 276", role="img", aria_label=label)
    return element("div", svg, class_="wide")


def _threshold_area(curve: Curve, scale: ValueScale) -> list[Markup]:
    """A tint over the side on which the rule holds."""
    if curve.threshold is None or curve.symbol not in {">", ">=", "<", "<="}:
        return []
    y = scale.y(curve.threshold)
    top, bottom = (_TOP, y) if curve.symbol.startswith(">") else (y, _BOTTOM)
    return [
        element("rect", x=_LEFT, y=top, width=WIDTH - RIGHT - _LEFT, height=max(0.0, bottom - top),
                class_="breach")
    ]  # fmt: skip


def _threshold_line(curve: Curve, scale: ValueScale) -> list[Markup]:
    if curve.threshold is None:
        return []
    y = scale.y(curve.threshold)
    words = f"threshold {curve.threshold:g}"
    return [
        element("line", x1=_LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="threshold"),
        element("text", words, x=_LEFT + 6, y=y - 5, class_="t2"),
    ]


def _path(line: Line, kind: str, x_scale: TimeScale, y_scale: ValueScale) -> Markup:
    """The line, broken where there is no data."""
    steps: list[str] = []
    drawing = False
    for time_ms, value in zip(line.times_ms, line.values, strict=True):
        if value is None or not math.isfinite(value):
            drawing = False
            continue
        place = f"{x_scale.x(time_ms):.1f} {y_scale.y(value):.1f}"
        # a lone point is drawn as a line of no length
        steps.append(f"L{place}" if drawing else f"M{place}h0.1")
        drawing = True
    return element("path", d="".join(steps), class_=kind, stroke_linecap="round")


def _finite(line: Line) -> list[float]:
    return [v for v in line.values if v is not None and math.isfinite(v)]


def _hold(decision: Decision, scale: TimeScale) -> Markup:
    x = scale.x(decision.at_ms)
    width = max(1.0, scale.x(decision.until_ms) - x)
    title = f"decision {decision.number} open until {format_time(decision.until_ms)}"
    return element(
        "rect", element("title", title), x=x, y=_TOP, width=width, height=_BOTTOM - _TOP,
        class_="hold-band",
    )  # fmt: skip


def _flags(decisions: Sequence[Decision], scale: TimeScale) -> list[Markup]:
    """A staff for every decision that can be told from the one before, with words where fit."""
    parts = []
    last_staff = last_words = -math.inf
    for decision in decisions:
        x, acts = scale.x(decision.at_ms), decision.would_act
        if x - last_staff < _LEAST_APART and not acts:
            continue
        last_staff = x
        said = "would act" if acts else f"no: {decision.reason}"
        title = f"{format_time(decision.at_ms)}: decision {decision.number} {said}"
        kind = "act" if acts else "no"
        ends = {"x1": x, "x2": x, "y1": _TOP - 4, "y2": _BOTTOM}
        parts.append(element("line", element("title", title), class_=kind, **ends))
        if acts or x - last_words >= _ROOM:
            last_words = x
            parts.append(_flag_words(f"{decision.number} {said}", x))
    return parts


def _flag_words(words: str, x: float) -> Markup:
    near_end = x > WIDTH - 160
    return element(
        "text", words, x=x - 6 if near_end else x, y=_TOP - 10, class_="t2",
        text_anchor="end" if near_end else "start",
    )  # fmt: skip


def _markers(moved: Sequence[Transition], x_scale: TimeScale, y_scale: ValueScale) -> list[Markup]:
    """A point on the line for each pending and firing that can be told from the one before."""
    parts = []
    last: dict[RuleState, float] = {}
    for transition in moved:
        x, state, value = x_scale.x(transition.at_ms), transition.state, transition.value
        # a comparison keeps the value of its left side: this is a point of the line
        if state is RuleState.INACTIVE or not math.isfinite(value):
            continue
        if x - last.get(state, -math.inf) < _LEAST_APART:
            continue
        last[state] = x
        told = f"{format_time(transition.at_ms)}: {state} at {transition.value:.4g}"
        kind, radius = ("fire", 6) if state is RuleState.FIRING else ("pending", 5)
        title = element("title", told)
        parts.append(element("circle", title, cx=x, cy=y_scale.y(value), r=radius, class_=kind))
    return parts


def _is_of(line: Line, transition: Transition) -> bool:
    """Whether a line is what an instance of the rule was made from."""
    return all(transition.labels.get(name) == value for name, value in line.labels.items())


def _key(curve: Curve, lines: Sequence[Line], moved: Sequence[Transition]) -> Markup:
    items = []
    for n, line in enumerate(lines, 1):
        words = ", ".join(f"{k}={v}" for k, v in sorted(line.labels.items())) or "value"
        shape = element("rect", x=0, y=5, width=22, height=3, rx=1.5, class_=f"dot{n}")
        items.append(_item(shape, words))
    if any(t.state is RuleState.PENDING for t in moved):
        items.append(_item(element("circle", cx=11, cy=6, r=5, class_="pending"), "pending"))
    if any(t.state is RuleState.FIRING for t in moved):
        items.append(_item(element("circle", cx=11, cy=6, r=6, class_="fire"), "fires"))
    if curve.threshold is not None:
        shape = element("rect", x=0, y=0, width=22, height=12, class_="breach")
        items.append(_item(shape, "the side on which it fires"))
    shape = element("rect", x=0, y=0, width=22, height=12, class_="hold-band")
    items.append(_item(shape, "an incident would be open"))
    return element("div", *items, class_="key")


def _item(shape: Markup, words: str) -> Markup:
    return element("span", element("svg", shape, viewBox="0 0 22 12"), joined([words]))
