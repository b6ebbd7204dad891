"""The decisions, one by one."""

from collections.abc import Iterator
from typing import Final

from rollbackd.app.backtest.findings import Act, Decision, Findings, Moved
from rollbackd.app.backtest.html.markup import Markup, element, joined, table
from rollbackd.app.backtest.timeline import ending
from rollbackd.app.backtest.times import format_time
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
    refused = [d for d in findings.decisions if not d.would_act]
    if acting:
        yield element("h2", "When it would act")
        yield joined(_card(decision) for decision in acting)
    if refused:
        yield element("h2", "When a guardrail would say no")
        yield table(
            ("", "time", "scope", "branch", "because of", "guardrail"),
            (
                (
                    str(d.number), format_time(d.at_ms), d.scope, d.branch, d.rule,
                    joined([element("code", d.reason), f" {_GUARDRAILS.get(d.reason, '')}"]),
                )
                for d in refused
            ),
        )  # fmt: skip
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
    parts += [
        element(
            "p",
            f"{format_time(j.at_ms)}: {j.rule} ({j.branch}) fired as well and "
            + ("joined." if j.answered else "has to wait until this one has ended."),
            class_="note",
        )
        for j in decision.joined
    ]
    rule = element("details", element("summary", "the rule"), element("pre", decision.expr.strip()))
    return element("article", *parts, rule, class_="card", id=f"decision-{decision.number}")


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
