"""The plots of the post-mortem: what the rules looked at, and every exit target over time."""

from collections.abc import Iterable, Sequence
from typing import Final

from rollbackd.documents.numbers import exact
from rollbackd.drawing.frame import Frame, Staff, key_item, line_key, rows_of
from rollbackd.drawing.markup import Markup, element
from rollbackd.evidence.bundle import Bundle
from rollbackd.evidence.evaluations import MOST_LINES, Curve
from rollbackd.evidence.story import Moment, moments
from rollbackd.evidence.wording import number, time
from rollbackd.model.incidents import Incident, SeriesWindow, TracePoint
from rollbackd.model.labels import format_labels
from rollbackd.model.policy import ExitTarget

_SIDES: Final = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below"}
_KINDS: Final = {"trigger": "mark mark-trigger", "green": "mark mark-green"}
#: A plot goes on this share of its length after its last moment.
_AIR: Final = 0.04
#: More points than this would be a blot.
_MOST_DOTS: Final = 60


def trigger_figures(bundle: Bundle) -> list[Markup]:
    """One for each rule that triggered."""
    marks = moments(bundle.incident, bundle.journal)
    return [_rule(curve, marks) for curve in bundle.evaluations]


def series_figures(bundle: Bundle) -> list[Markup]:
    """One for each metric that was recorded."""
    evidence = bundle.incident.evidence
    if evidence is None:
        return []
    marks = moments(bundle.incident, bundle.journal)
    metrics = dict.fromkeys(window.metric for window in evidence.windows)
    return [
        _metric(metric, [w for w in evidence.windows if w.metric == metric], marks)
        for metric in metrics
    ]


def target_figures(bundle: Bundle) -> list[Markup]:
    """One for each exit target."""
    incident = bundle.incident
    marks = moments(incident, bundle.journal)
    trace = _trace(incident)
    return [_target(incident, target, trace, marks) for target in incident.policy.exit_targets]


def _rule(curve: Curve, marks: Sequence[Moment]) -> Markup:
    title = element("h3", curve.rule)
    source = element("pre", curve.expr)
    values = [v for line in curve.lines for v in line.values if v is not None]
    if not values:
        words = f"Not drawn: {curve.missing or 'the expression had no value in the window'}."
        return element("div", title, element("p", words, class_="note"), source, class_="figure")
    bounds = [] if curve.threshold is None else [curve.threshold]
    frame, staffs = _frame(curve.times_ms[0], curve.times_ms[-1], [*values, *bounds], marks)
    parts = [frame.grid()]
    if curve.threshold is not None and curve.symbol in _SIDES:
        parts.insert(0, frame.breach(curve.threshold, above=curve.symbol.startswith(">")))
        parts.append(frame.threshold(curve.threshold, f"threshold {exact(curve.threshold)}"))
    parts += [frame.line(curve.times_ms, line.values, n) for n, line in enumerate(curve.lines, 1)]
    first, last = (number(values[end], beside=curve.threshold) for end in (0, -1))
    said = f"{curve.rule}: from {first} to {last}, {_told(marks)}"
    keys = _keys(line.labels for line in curve.lines)
    return element(
        "div", title, element("p", _rule_sentence(curve), class_="note"), source,
        frame.svg([*parts, staffs], said, ends_in_view=True), _key(keys, breach=bool(bounds)),
        class_="figure",
    )  # fmt: skip


def _rule_sentence(curve: Curve) -> str:
    sentence = "What the rule looked at before it fired."
    if curve.threshold is not None and curve.symbol in _SIDES:
        side = _SIDES[curve.symbol]
        sentence = (
            f"The rule looks whether this is {side} {exact(curve.threshold)}, the dashed line."
        )
    if curve.whole_from_ms > curve.times_ms[0]:
        until = min(curve.whole_from_ms, curve.times_ms[-1])
        sentence += (
            f" It is worked out from the samples that were kept: before {time(until)[:8]} they fill"
            " only a part of the window."
        )
    return sentence


def _metric(metric: str, windows: Sequence[SeriesWindow], marks: Sequence[Moment]) -> Markup:
    shown = windows[:MOST_LINES]
    samples = [sample for window in shown for sample in window.samples]
    begin, end = min(t for t, _ in samples), max(t for t, _ in samples)
    frame, staffs = _frame(begin, end, [v for _, v in samples], marks)
    parts = [frame.grid()]
    parts += [
        frame.line([t for t, _ in w.samples], [v for _, v in w.samples], n)
        for n, w in enumerate(shown, 1)
    ]
    keys = _keys(window.labels for window in shown)
    count = sum(window.count for window in windows)
    words = f"{count:,} samples of {len(windows)} series"
    if len(windows) > len(shown):
        words += f", {len(shown)} of them drawn"
    return element(
        "div", element("h3", metric or "samples"), element("p", f"{words}.", class_="note"),
        frame.svg([*parts, staffs], f"{metric}: {words}, {_told(marks)}"),
        _key(keys, breach=False), class_="figure",
    )  # fmt: skip


def _target(
    incident: Incident, target: ExitTarget, trace: Sequence[TracePoint], marks: Sequence[Moment]
) -> Markup:
    side = "below" if target.below is not None else "above"
    wanted = f"{side} {exact(target.bound)}"
    title = element("h3", f"{target.name}: wanted {wanted}")
    source = element("pre", target.value)
    values = [point.values.get(target.name) for point in trace]
    known = [value for value in values if value is not None]
    if not known:
        words = "No reading had a value: it was unknown all the time."
        return element("div", title, element("p", words, class_="note"), source, class_="figure")
    begin = min(incident.opened_at_ms, trace[0].at_ms)
    end = max(trace[-1].at_ms, marks[-1].at_ms)
    frame, staffs = _frame(begin, end, [*known, target.bound], marks)
    parts = [
        frame.breach(target.bound, above=side == "below"),
        frame.grid(),
        frame.threshold(target.bound, wanted),
        frame.line([point.at_ms for point in trace], values, 1),
        *_dots(frame, trace, target),
        staffs,
    ]
    first, last = (number(known[end], beside=target.bound) for end in (0, -1))
    said = f"{target.name}: from {first} to {last}, wanted {wanted}, {_told(marks)}"
    return element(
        "div", title, source, frame.svg(parts, said),
        _key([line_key(1, "reading; a gap is unknown")], breach=True), class_="figure",
    )  # fmt: skip


def _dots(frame: Frame, trace: Sequence[TracePoint], target: ExitTarget) -> list[Markup]:
    """A point for each reading, with its time and value, while they can be told apart."""
    readings = [
        (point.at_ms, value)
        for point in trace
        if (value := point.values.get(target.name)) is not None
    ]
    if len(readings) > _MOST_DOTS:
        return []
    return [
        frame.dot(
            at_ms, value, f"{time(at_ms)}: {number(value, beside=target.bound)}",
            kind="dot1", radius=3,
        )
        for at_ms, value in readings
    ]  # fmt: skip


def _trace(incident: Incident) -> list[TracePoint]:
    """The reading of the capture, then those of the watch."""
    evidence = incident.evidence
    if evidence is None or not evidence.readings:
        return incident.trace
    values = {reading.name: reading.value for reading in evidence.readings}
    return [TracePoint(at_ms=evidence.captured_at_ms, values=values), *incident.trace]


def _frame(
    begin_ms: int, end_ms: int, values: list[float], marks: Sequence[Moment]
) -> tuple[Frame, Markup]:
    """A frame for these values, and the moments that fall into it."""
    length = max(1_000, end_ms - begin_ms)
    end_ms = begin_ms + round(length * (1 + _AIR))
    shown = [mark for mark in marks if begin_ms <= mark.at_ms <= end_ms]
    staffs = [
        Staff(
            mark.at_ms,
            mark.words,
            f"{time(mark.at_ms)}: {mark.words}",
            _KINDS.get(mark.words, "mark"),
        )
        for mark in shown
    ]
    rows = rows_of(staffs, Frame.around(begin_ms, end_ms, values).x)
    frame = Frame.around(begin_ms, end_ms, values, rows=max(rows, default=0) + 1)
    drawn = [frame.staff(staff, row=row) for staff, row in zip(staffs, rows, strict=True)]
    # the trigger, which comes first, lies on top where moments lie on each other
    drawn.reverse()
    return frame, element("g", *drawn, class_="marks")


def _told(marks: Sequence[Moment]) -> str:
    return ", ".join(f"{mark.words} at {time(mark.at_ms)[:8]}" for mark in marks)


def _keys(labels: Iterable[dict[str, str]]) -> list[Markup]:
    return [line_key(n, format_labels(sorted(each.items()))) for n, each in enumerate(labels, 1)]


def _key(lines: Sequence[Markup], *, breach: bool) -> Markup:
    items = [*lines]
    if breach:
        shape = element("rect", x=0, y=0, width=22, height=12, class_="breach")
        items.append(key_item(shape, "the bad side"))
    shape = element("line", x1=11, x2=11, y1=0, y2=12, class_="mark")
    items.append(key_item(shape, "a moment of the incident"))
    return element("div", *items, class_="key")
