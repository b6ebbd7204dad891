"""The findings of one scope in the order of time: what every report tells. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rollbackd.app.backtest.findings import Decision, Findings, Ignored, Transition
from rollbackd.app.backtest.labels import Label
from rollbackd.app.backtest.times import format_time
from rollbackd.model.incidents import State
from rollbackd.model.triggers import RuleState


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of the time for which a decision counts as open."""

    at_ms: int
    decision: Decision


#: One line of a timeline.
Moment = Transition | Decision | Ignored | Closing


@dataclass(slots=True)
class Span:
    """One instance of a rule from its first pending or firing to its end; None is not reached."""

    rule: str
    labels: dict[str, str]
    begin_ms: int
    fired_ms: int | None = None
    end_ms: int | None = None


def scopes_of(findings: Findings, labels: Sequence[Label] = ()) -> list[str]:
    """Every scope that anything is told of, by name; one for rules without a scope comes last."""
    names = {t.scope for t in findings.transitions} | {d.scope for d in findings.decisions}
    names |= {i.scope for i in findings.ignored} | {label.scope for label in labels}
    return sorted(names, key=lambda name: (not name, name))


def moments(findings: Findings, scope: str) -> list[Moment]:
    """What happened in a scope, in the order of time."""
    decisions = [d for d in findings.decisions if d.scope == scope]
    found: list[Moment] = [t for t in findings.transitions if t.scope == scope]
    found += [i for i in findings.ignored if i.scope == scope]
    found += decisions
    found += [Closing(d.until_ms, d) for d in decisions if d.would_act and d.outcome]
    return sorted(found, key=lambda moment: moment.at_ms)


def spans(transitions: Iterable[Transition], scope: str) -> list[Span]:
    """When each instance was pending and firing, in the order in which they began."""
    open_now: dict[tuple[str, tuple[tuple[str, str], ...]], Span] = {}
    found: list[Span] = []
    for t in transitions:
        if t.scope != scope:
            continue
        key = (t.rule, tuple(sorted(t.labels.items())))
        span = open_now.get(key)
        if span is None:
            span = open_now[key] = Span(t.rule, t.labels, t.at_ms)
            found.append(span)
        if t.state is RuleState.FIRING:
            span.fired_ms = t.at_ms
        elif t.state is RuleState.INACTIVE:
            span.end_ms = t.at_ms
            del open_now[key]
    return found


def ending(decision: Decision) -> str:
    """How a decision that acts would have gone on, as far as can be told."""
    if decision.outcome is None:
        return "still open when the recording ends"
    until = format_time(decision.until_ms)
    if decision.outcome is State.CLOSED:
        told = f"counts as open for the hold of its branch, until {until}"
    else:
        told = f"would have asked for a person; counts as open until {until}"
    if decision.cooldown_until_ms is not None:
        told += f"; then in cooldown until {format_time(decision.cooldown_until_ms)}"
    return told


def verdict(findings: Findings) -> str:
    """The whole of it in one sentence."""
    fired = len({t.rule for t in findings.transitions if t.state is RuleState.FIRING})
    acting = [d for d in findings.decisions if d.would_act]
    blocked = len(findings.decisions) - len(acting)
    if not fired:
        return "No rule fired."
    said = f"{_counted(fired, 'rule')} fired; rollbackd would have acted {_times(len(acting))}"
    if acting:
        scopes = sorted({d.scope for d in acting})
        said += f" (on {', '.join(scopes)})"
    if blocked:
        said += f", and a guardrail would have said no {_times(blocked)}"
    return said + "."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
