"""A backtest on a terminal: the timeline of each scope, then the sum of it."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rollbackd.app.backtest.findings import Act, Decision, Findings, Ignored, Moved, Transition
from rollbackd.app.backtest.scoring import Score
from rollbackd.app.backtest.timeline import (
    Closing,
    Moment,
    Run,
    ending,
    moments,
    scopes_of,
    verdict,
)
from rollbackd.app.backtest.times import format_time
from rollbackd.cli.phrases import counted, number, pairs, span
from rollbackd.model.incidents import State
from rollbackd.model.triggers import RuleState

#: Lines of one scope; `--output json` has them all.
_MOST_LINES: Final = 200
_MOST_FAULTS: Final = 10

_STATES: Final = {
    RuleState.PENDING: ("is pending", "yellow"),
    RuleState.FIRING: ("fires", "bold red"),
    RuleState.INACTIVE: ("ends", "dim"),
}
_STEPS: Final = {
    State.FREEZING: "freeze",
    State.CHOOSING: "flip",
    State.ROTATING: "rotate",
    State.THROTTLING: "throttle",
}


def report(findings: Findings, score: Score | None) -> RenderableType:
    """Everything a person wants to know; sections that have nothing to say are left out."""
    parts: list[RenderableType] = [_head(findings)]
    for scope in scopes_of(findings):
        parts.append(Text(f"\n{scope or 'no scope'}", style="bold underline"))
        parts.append(Padding(_timeline(findings, scope), (0, 0, 0, 2)))
    parts += _sections(findings, score)
    return Group(*parts)


def _head(findings: Findings) -> Text:
    read = findings.input
    length = span(read.to_ms - read.from_ms)
    return Text.assemble(
        (f"backtest of {', '.join(read.sources)}\n", "bold"),
        f"{read.events:,} events from {format_time(read.from_ms)} to {format_time(read.to_ms)} "
        f"({length}), {counted(len(findings.rules), 'rule')}, {findings.evaluations:,} evaluations",
    )


def _timeline(findings: Findings, scope: str) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    found = moments(findings, scope)
    for moment in found[:_MOST_LINES]:
        table.add_row(format_time(moment.at_ms)[11:-1], _told(moment))
    if len(found) > _MOST_LINES:
        more = f"and {len(found) - _MOST_LINES:,} more; `--output json` has them all"
        table.add_row("", Text(more, style="dim"))
    return table


def _told(moment: Moment) -> RenderableType:
    match moment:
        case Transition():
            words, style = _STATES[moment.state]
            ended = moment.state is RuleState.INACTIVE
            value = "" if ended else f"  {number(moment.value)}"
            return Text.assemble(moment.rule, " ", (words, style), (value, "dim"))
        case Ignored():
            return Text(f"{moment.rule} opens nothing: {moment.reason}", style="yellow")
        case Closing():
            text = f"decision {moment.decision.number} {_end(moment.decision)}"
            return Text(text, style="dim")
        case Run():
            return _run(moment)
        case Decision():
            return _decision(moment) if moment.would_act else _refusal(moment)


def _run(run: Run) -> Text:
    until = format_time(run.to_ms)[11:-1]
    if isinstance(run.first, Decision):
        text = _refusal(run.first)
        return text.append(f", {run.times} times until {until}", "dim")
    told = f": fires {counted(run.times, 'time')} until {until}"
    return Text.assemble(f"{run.first.rule} ", ("flaps", "bold red"), (told, "dim"))


def _end(decision: Decision) -> str:
    if decision.outcome is State.CLOSED:
        return "counts as closed: its hold is over"
    return "counts as ended by a person"


def _refusal(decision: Decision) -> Text:
    return Text.assemble(
        (f"decision {decision.number}: ", "dim"),
        ("would not act", "bold yellow"),
        f" on {decision.branch}: ",
        (f"{decision.reason} says no", "yellow"),
    )


def _decision(decision: Decision) -> RenderableType:
    head = Text.assemble(
        (f"decision {decision.number}: ", "dim"),
        ("would act", "bold white on red"),
        " on ",
        (" => ".join(decision.branches), "bold"),
    )
    if decision.summary:
        head.append(f"\n{decision.summary}", style="dim")
    for pin in decision.changed_pins:
        head.append(f"\n{pin.name} ran as {pin.seen}, known good is {pin.known_good}", "magenta")
    recorded = any(act.before is not None for act in decision.acts)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("step", "lever", "before", "after") if recorded else ("step", "lever", "after"):
        table.add_column(column, overflow="fold")
    for act in decision.acts:
        step, lever, before, after = _cells(act)
        table.add_row(step, lever, *([before] if recorded else []), after)
    tail = Text(ending(decision), style="dim")
    return Group(head, Padding(table, (0, 0, 0, 2)), tail)


def _cells(act: Act) -> tuple[Text, Text, Text, Text]:
    step = Text(_STEPS.get(act.step, act.step))
    lever = Text(f"{act.lever} {act.name}".strip(), style="bold")
    before = Text("not recorded", style="dim") if act.before is None else Text(pairs(act.before))
    match act.moved:
        case Moved.REFUSED:
            after = Text(f"refused: {act.note}", style="bold red")
        case Moved.NOTHING_TO_MOVE:
            after = Text("stands as wanted already", style="dim")
        case Moved.WOULD_MOVE:
            after = Text(pairs(act.after))
    return step, lever, before, after


def _sections(findings: Findings, score: Score | None) -> Iterator[RenderableType]:
    sections = [
        ("summary", _summary(findings)),
        ("against the labels", _scored(score) if score is not None else None),
        ("what to know", _caveats(findings)),
    ]
    for title, body in sections:
        if body is not None:
            yield Text(f"\n{title}", style="bold underline")
            yield Padding(body, (0, 0, 0, 2))


def _summary(findings: Findings) -> RenderableType:
    acting = Counter(d.branch for d in findings.decisions if d.would_act)
    refused = Counter(str(d.reason) for d in findings.decisions if not d.would_act)
    fired = Counter(t.rule for t in findings.transitions if t.state is RuleState.FIRING)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("rules that fired", _tally(fired))
    table.add_row("would have acted", _tally(acting))
    table.add_row("guardrails that said no", _tally(refused))
    return Group(Text(verdict(findings)), table)


def _tally(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.most_common()) or "none"


def _scored(score: Score) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("precision", f"{number(score.precision)}  {score.right} of {score.calls} calls")
    recall = f"{number(score.recall)}  {len(score.found)} of {score.labelled} labelled incidents"
    table.add_row("recall", recall)
    table.add_row("F1", number(score.f1))
    if score.detect_median_ms is not None and score.detect_p95_ms is not None:
        times = f"median {span(score.detect_median_ms)}, p95 {span(score.detect_p95_ms)}"
        table.add_row("time to detect", times)
    lines = Text()
    for false in score.false_calls:
        lines.append("false  ", "bold red")
        lines.append(f"{format_time(false.at_ms)}  {false.scope}  {false.branch} by {false.rule}")
        lines.append(f" ({false.note})\n" if false.note else "\n", "dim")
    for miss in score.misses:
        lines.append("missed ", "bold yellow")
        branch = miss.label.branch or "any branch"
        lines.append(f"{format_time(miss.label.start_ms)}  {miss.label.scope}  {branch}: ")
        lines.append(f"{miss.note}\n", "dim")
    for label in score.not_covered:
        lines.append(
            f"outside the recording: {format_time(label.start_ms)}  {label.scope}\n", "dim"
        )
    lines.rstrip()
    return Group(table, lines) if lines else table


def _caveats(findings: Findings) -> RenderableType | None:
    read, text = findings.input, Text()
    if read.bad:
        text.append(f"{counted(read.bad, 'input')} could not be used\n", "bold yellow")
        for bad in read.bad_inputs[:_MOST_FAULTS]:
            text.append(f"  {bad.place}: {bad.reason}\n")
        if read.bad > _MOST_FAULTS:
            text.append(f"  and {read.bad - _MOST_FAULTS:,} more\n", "dim")
    if read.ignored:
        text.append(f"{counted(read.ignored, 'event')} said nothing that is read\n", "yellow")
    for reason, count in read.refused.items():
        text.append(f"{counted(count, 'sample')} not kept: {reason}\n", "yellow")
    for failure in findings.failures:
        text.append(f"{failure.rule} could not be evaluated", "bold yellow")
        times = counted(failure.times, "time")
        text.append(f" {times} from {format_time(failure.first_at_ms)}: {failure.message}\n")
    for gap in read.gaps:
        text.append(f"nothing from {format_time(gap.from_ms)} to {format_time(gap.to_ms)}\n", "dim")
    text.rstrip()
    return text or None
