"""The findings of one scope in the order of time: what every report tells. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

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


@dataclass(frozen=True, slots=True)
class Run:
    """The same again and again: a rule that flaps, or a guardrail that is asked each time."""

    at_ms: int
    to_ms: int
    first: Transition | Decision
    #: How often the rule fired, or the guardrail said no.
    times: int


#: One line of a timeline.
Moment = Transition | Decision | Ignored | Closing | Run

_T = TypeVar("_T", Transition, Decision)
#: Of what happens at one time, what comes first.
_RANK: Final = {Closing: 0, Transition: 1, Run: 2, Ignored: 3, Decision: 4}

#: What repeats within this time is one run, from this many times on.
_RUN_GAP_MS: Final = 60_000
_RUN_LEAST: Final = 6


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
    """What happened in a scope, in the order of time; what only repeats is one moment."""
    decisions = [d for d in findings.decisions if d.scope == scope]
    transitions = [t for t in findings.transitions if t.scope == scope]
    found: list[Moment] = [i for i in findings.ignored if i.scope == scope]
    found += [d for d in decisions if d.would_act]
    found += [Closing(d.until_ms, d) for d in decisions if d.would_act and d.outcome]
    for rule in dict.fromkeys(t.rule for t in transitions):
        found += _runs([t for t in transitions if t.rule == rule])
    found += refusals(decisions)
    return sorted(found, key=lambda moment: (moment.at_ms, _RANK[type(moment)]))


def refusals(decisions: Iterable[Decision]) -> list[Decision | Run]:
    """Decisions that would not act; one rule that meets one guardrail again and again is a run."""
    refused = [d for d in decisions if not d.would_act]
    found: list[Decision | Run] = []
    for key in dict.fromkeys((d.scope, d.rule, d.reason) for d in refused):
        found += _runs([d for d in refused if (d.scope, d.rule, d.reason) == key])
    return sorted(found, key=lambda moment: moment.at_ms)


def _runs(alike: Sequence[_T]) -> list[_T | Run]:
    """Stretches without a pause become runs."""
    stretches: list[list[_T]] = []
    for each in alike:
        if stretches and each.at_ms - stretches[-1][-1].at_ms <= _RUN_GAP_MS:
            stretches[-1].append(each)
        else:
            stretches.append([each])
    found: list[_T | Run] = []
    for stretch in stretches:
        if len(stretch) < _RUN_LEAST:
            found += stretch
        else:
            first, last = stretch[0], stretch[-1]
            found.append(Run(first.at_ms, last.at_ms, first, sum(map(_counts, stretch))))
    return found


def _counts(moment: Transition | Decision) -> bool:
    return not isinstance(moment, Transition) or moment.state is RuleState.FIRING


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
        return "is still open when the recording ends"
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
