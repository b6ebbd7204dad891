"""`lint/short-window`: a window that holds too few samples of its series to say anything.

How often a series has samples is known only for what the rules record (their group's interval),
for subqueries (their step), and where a comment says it. Of other series nothing is assumed,
except that Prometheus scrapes at least as often as it evaluates: `rate` and `increase` want four
evaluation intervals.
"""

from collections.abc import Iterator
from typing import Final

from rollbackd.documents.diagnostics import Diagnostic
from rollbackd.documents.durations import format_duration
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.matchers import Selector
from rollbackd.promql.outline import Form, Part, outline
from rollbackd.triggers.lints.subjects import Pack, Subject

_NEED_NEIGHBOURS: Final = frozenset({"rate", "increase"})
_GROUP_INTERVALS: Final = 4


def short_window(subject: Subject, pack: Pack) -> Iterator[Diagnostic]:
    """One warning for each window that is shorter than it has to be."""
    for part in subject.expr.walk():
        for operand in part.parts:
            if operand.form in {Form.RANGE, Form.SUBQUERY}:
                found = _judged(operand, part, subject, pack)
                if found is not None:
                    yield found


def _judged(window: Part, call: Part, subject: Subject, pack: Pack) -> Diagnostic | None:
    interval_ms, source = _sample_interval(window, subject, pack)
    if interval_ms:
        least_ms = interval_ms * pack.options.least_intervals
        wanted = f"{pack.options.least_intervals} times {source}"
    elif call.name in _NEED_NEIGHBOURS:
        least_ms = subject.interval_ms * _GROUP_INTERVALS
        wanted = (
            f"{_GROUP_INTERVALS} times the group's interval of "
            f"`{format_duration(subject.interval_ms)}`"
        )
    else:
        return None
    if window.window_ms >= least_ms:
        return None
    return subject.warning(
        "lint/short-window",
        f"the window of `{format_duration(window.window_ms)}` is shorter than {wanted}",
        window,
        fix=f"use `[{format_duration(least_ms)}]` or longer",
    )


def _sample_interval(window: Part, subject: Subject, pack: Pack) -> tuple[int, str]:
    """How often there is a sample in the window, and who says so; 0 when nobody does."""
    if window.form is Form.SUBQUERY:
        return window.step_ms, f"the step of `{format_duration(window.step_ms)}`"
    assert window.selector is not None
    for hint in subject.file.intervals:
        if _covers(hint.selector, window.selector):
            shown = format_duration(hint.interval_ms)
            return hint.interval_ms, f"the interval of `{shown}` that a comment names"
    records = pack.records.get(window.name, ())
    if not records:
        return 0, ""
    interval_ms = max(record.interval_ms for record in records)
    shown = format_duration(interval_ms)
    return interval_ms, f"the interval of `{shown}` at which `{window.name}` is recorded"


def _covers(hint: str, selector: Selector) -> bool:
    """Whether every condition of the hint's selector is one of this selector."""
    try:
        hinted = outline(hint).selector
    except PromqlError:
        return False
    return hinted is not None and set(hinted.matchers) <= set(selector.matchers)
