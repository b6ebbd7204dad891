"""The decisions, one by one."""

from collections.abc import Iterator
from typing import Final

from rollbackd.app.backtest.findings import Act, Decision, Findings, Moved
from rollbackd.app.backtest.timeline import Run, ending, refusals
from rollbackd.app.backtest.times import format_time
from rollbackd.drawing.markup import Markup, element, joined, table
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import State

_STEPS: Final = {
    State.FREEZING: "freeze",
    State.CHOOSING: "flip",
    State.ROTATING: "rotate",
    State.THROTTLING: "throttle",
}
_GUARDRAILS: Final = {
    Reason.OBSERVE_MODE: "the decision tree only observes",
    Reason.STALE_DATA: "the newest data was older than max_event_age",
    Reason.NO_KNOWN_GOOD: "nobody had recorded what to go back to",
    Reason.COOLDOWN: "the same branch had acted on this scope less than its cooldown before",
    Reason.BUDGET_SPENT: "the budget of acts was used up",
    Reason.PAUSED: "the daemon was paused",
}


def decisions(findings: Findings) -> Iterator[Markup]:
    """A card for each that would act, a line for each that would not."""
    acting = [d for d in findings.decisions if d.would_act]
    refused = refusals(findings.decisions)
    if acting:
        yield element("h2", "When it would act")
        yield joined(_card(decision) for decision in acting)
    if refused:
        yield element("h2", "When a guardrail would say no")
        columns = ("", "time", "scope", "branch", "because of", "guardrail")
        yield table(columns, map(_refusal, refused))
    if findings.ignored:
        yield element("h2", "What opened nothing")
        rows = ((format_time(i.at_ms), i.rule, i.scope, i.reason) for i in findings.ignored)
        yield table(("time", "rule", "scope", "because"), rows)


def _card(decision: Decision) -> Markup:
    branches = " → ".join(decision.branches)
    parts = [
        element(
            "h3",
            element("span", str(decision.number), class_="badge"),
            f" {format_time(decision.at_ms)}, {decision.scope}: {branches}",
        ),
        element("p", f"{decision.rule} fired. {decision.summary}"),
    ]
    parts += [
        element(
            "p", element("code", pin.name), " ran as ", element("code", pin.seen),
            ", known good is ", element("code", pin.known_good), ".",
        )
        for pin in decision.changed_pins
    ]  # fmt: skip
    parts += _acts(decision.acts)
    parts.append(element("p", f"It {ending(decision)}.", class_="note"))
    parts += [element("p", words, class_="note") for words in _joined_by(decision)]
    rule = element("details", element("summary", "the rule"), element("pre", decision.expr.strip()))
    return element("article", *parts, rule, class_="card", id=f"decision-{decision.number}")


def _refusal(refused: Decision | Run) -> tuple[str, ...]:
    decision = refused.first if isinstance(refused, Run) else refused
    assert isinstance(decision, Decision)
    time = format_time(decision.at_ms)
    if isinstance(refused, Run):
        time += f", {refused.times} times until {format_time(refused.to_ms)}"
    why = joined([element("code", decision.reason), f" {_GUARDRAILS.get(decision.reason, '')}"])
    return str(decision.number), time, decision.scope, decision.branch, decision.rule, why


def _joined_by(decision: Decision) -> Iterator[str]:
    """One line for each rule that fired as well while the incident was open."""
    for key in dict.fromkeys((j.rule, j.branch, j.answered) for j in decision.joined):
        alike = [j for j in decision.joined if (j.rule, j.branch, j.answered) == key]
        rule, branch, answered = key
        times = f", {len(alike)} times until {format_time(alike[-1].at_ms)}," if alike[1:] else ""
        end = "joined." if answered else "had to wait until this one has ended."
        yield f"{format_time(alike[0].at_ms)}: {rule} ({branch}) fired as well{times} and {end}"


def _acts(acts: list[Act]) -> Iterator[Markup]:
    """What each lever would have moved; `before` only where the recording says anything."""
    recorded = any(act.before is not None for act in acts)
    columns = ("step", "lever", "before", "after") if recorded else ("step", "lever", "after")
    rows = (
        (
            _STEPS.get(act.step, str(act.step)),
            element("code", f"{act.lever} {act.name}".strip()),
            *([_value(act.before)] if recorded else []),
            _after(act),
        )
        for act in acts
    )
    yield table(columns, rows)
    if acts and not recorded:
        yield element("p", "What stood there before is not in the recording.", class_="note")


def _after(act: Act) -> Markup:
    match act.moved:
        case Moved.REFUSED:
            return joined([element("span", "refused: ", class_="bad"), act.note])
        case Moved.NOTHING_TO_MOVE:
            return joined(["stands as wanted already"])
        case Moved.WOULD_MOVE:
            return _value(act.after)


def _value(value: dict[str, object] | None) -> Markup:
    if value is None:
        return element("span", "not in the recording", class_="note")
    lines = (element("code", f"{name}={_plain(each)}") for name, each in value.items())
    return joined(joined([line, Markup("<br>")]) for line in lines)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
