"""The timeline of one scope: what really happened, each rule, and what rollbackd would do."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from rollbackd.app.backtest.findings import Decision, Findings
from rollbackd.app.backtest.labels import Label
from rollbackd.app.backtest.timeline import Span, spans
from rollbackd.app.backtest.times import format_time
from rollbackd.drawing.axes import WIDTH, TimeScale
from rollbackd.drawing.markup import Markup, element, joined

_GUTTER: Final = 210.0
_LANE: Final = 30.0
_BAR: Final = 14.0
_LONGEST_NAME: Final = 28
#: A bar is at least this wide, or nobody would see it.
_LEAST: Final = 2.5
#: Crosses that are nearer to each other would be one blot.
_LEAST_APART: Final = 14.0


def swimlanes(findings: Findings, scope: str, labels: Sequence[Label]) -> Markup:
    """The drawing."""
    read = findings.input
    scale = TimeScale(read.from_ms, read.to_ms, _GUTTER)
    lanes = [("really happened", _labelled(labels, scale))] if labels else []
    found = spans(findings.transitions, scope)
    lanes += [
        (rule, [_rule_bar(span, scale, read.to_ms) for span in found if span.rule == rule])
        for rule in dict.fromkeys(span.rule for span in found)
    ]
    decisions = [d for d in findings.decisions if d.scope == scope]
    if decisions:
        lanes.append(("rollbackd", list(_decided(decisions, scale))))
    bottom = 8 + _LANE * len(lanes)
    parts = [scale.grid(4, bottom)]
    for index, (name, drawn) in enumerate(lanes):
        middle = 8 + _LANE * (index + 0.5)
        parts.append(_name(name, middle))
        parts.append(element("g", *drawn, transform=f"translate(0 {middle:.1f})"))
    height = bottom + 26
    return element(
        "div",
        element(
            "svg", *parts, viewBox=f"0 0 {WIDTH:g} {height:g}", role="img",
            aria_label=f"timeline of {scope or 'rules without a scope'}",
        ),
        class_="wide",
    )  # fmt: skip


def key(*, with_labels: bool) -> Markup:
    """What the shapes of a timeline mean."""
    shapes = [
        (_swatch("bar-pending"), "a rule is pending"),
        (_swatch("bar-fire"), "a rule fires"),
        (_swatch("act-flag"), "rollbackd would act (the number is the decision below)"),
        (_swatch("hold"), "the incident would be open"),
        (_swatch("cool"), "cooldown"),
        (_cross(x=11, y=6), "a guardrail would say no"),
    ]
    if with_labels:
        shapes.insert(0, (_swatch("really"), "an incident that really happened"))
    items = (
        element("span", element("svg", shape, viewBox="0 0 22 12"), words)
        for shape, words in shapes
    )
    return element("div", *items, class_="key")


def _name(name: str, middle: float) -> Markup:
    shown = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return element(
        "text", element("title", name), shown, x=_GUTTER - 14, y=middle + 4, class_="t",
        text_anchor="end",
    )  # fmt: skip


def _labelled(labels: Sequence[Label], scale: TimeScale) -> list[Markup]:
    return [
        _bar(
            scale, label.start_ms, label.end_ms, "really",
            f"{label.branch or 'any branch'}: {label.note or 'labelled incident'}",
        )
        for label in labels
    ]  # fmt: skip


def _rule_bar(span: Span, scale: TimeScale, end_of_recording: int) -> Markup:
    end_ms = end_of_recording if span.end_ms is None else span.end_ms
    where = ", ".join(f"{k}={v}" for k, v in sorted(span.labels.items()) if k != "alertname")
    fired = end_ms if span.fired_ms is None else span.fired_ms
    parts = []
    if fired > span.begin_ms:
        parts.append(_bar(scale, span.begin_ms, fired, "bar-pending", f"pending: {where}"))
    if span.fired_ms is not None:
        parts.append(_bar(scale, fired, end_ms, "bar-fire", f"fires: {where}"))
    return joined(parts)


def _decided(decisions: Sequence[Decision], scale: TimeScale) -> Iterator[Markup]:
    """Those that act below, crosses that can be told from each other above."""
    last = -math.inf
    for decision in decisions:
        if decision.would_act:
            yield _acting(decision, scale)
    for decision in decisions:
        x = scale.x(decision.at_ms)
        if not decision.would_act and x - last >= _LEAST_APART:
            last = x
            yield _refused(decision, x)


def _refused(decision: Decision, x: float) -> Markup:
    said = f"decision {decision.number}, {decision.branch}: {decision.reason} says no"
    title = element("title", f"{format_time(decision.at_ms)}: {said}")
    return element("g", title, _cross(x=x, y=0))


def _acting(decision: Decision, scale: TimeScale) -> Markup:
    x, at = scale.x(decision.at_ms), format_time(decision.at_ms)
    parts = [_bar(scale, decision.at_ms, decision.until_ms, "hold", f"open from {at}")]
    if decision.cooldown_until_ms is not None and decision.until_ms < scale.to_ms:
        parts.append(_bar(scale, decision.until_ms, decision.cooldown_until_ms, "cool", "cooldown"))
    title = f"{at}: decision {decision.number}, acts on {decision.branch}"
    width = 13.0 + 7.0 * len(str(decision.number))
    flag = element(
        "a", element("title", title),
        element("rect", x=x - 1, y=-11.0, width=width, height=22.0, rx=4, class_="act-flag"),
        element("text", str(decision.number), x=x - 1 + width / 2, y=4, class_="flag-text",
                text_anchor="middle"),
        href=f"#decision-{decision.number}",
    )  # fmt: skip
    return joined([*parts, flag])


def _bar(scale: TimeScale, begin_ms: int, end_ms: int, kind: str, title: str) -> Markup:
    x = scale.x(begin_ms)
    width = max(_LEAST, scale.x(end_ms) - x)
    times = f"{format_time(begin_ms)} to {format_time(end_ms)}"
    return element(
        "rect", element("title", f"{title} ({times})"),
        x=x, y=-_BAR / 2, width=width, height=_BAR, rx=2, class_=kind,
    )  # fmt: skip


def _swatch(kind: str) -> Markup:
    return element("rect", x=0, y=1, width=22, height=10, rx=2, class_=kind)


def _cross(*, x: float, y: float) -> Markup:
    strokes = f"M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10"
    return element("path", d=strokes, class_="cross")
