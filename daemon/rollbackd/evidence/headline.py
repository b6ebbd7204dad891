"""Four answers for somebody who was asleep: what broke, what was done, is it over, what is left."""

from typing import Final

import msgspec

from rollbackd.evidence.wording import date, deed, listed, span, time
from rollbackd.model.incidents import Incident, Measure, MeasureStatus, State
from rollbackd.model.triggers import Verdict

_WORDS: Final = {
    State.CLOSED: "It is over",
    State.ABORTED: "A person ended it",
    State.OBSERVED: "Nothing was touched",
    State.NEEDS_HUMAN: "It waits for a person",
}
#: Measures that nobody gave back.
_LEFT: Final = frozenset(
    {MeasureStatus.TAKEN, MeasureStatus.REGISTERED, MeasureStatus.LEFT_IN_FORCE}
)


class Headline(msgspec.Struct, frozen=True, kw_only=True):
    """Plain sentences; `is_well` says whether the rest can wait until the morning."""

    verdict: str
    is_well: bool
    broke: list[str]
    done: list[str]
    now: list[str]
    todo: list[str]


def headline_of(incident: Incident) -> Headline:
    """The answers as the incident has them now."""
    todo = _todo(incident)
    well = incident.state is State.CLOSED and not _left(incident) and not _moved_on(incident)
    return Headline(
        verdict=_WORDS.get(incident.state, "It is not over"),
        is_well=well,
        broke=_broke(incident),
        done=_done(incident),
        now=_now(incident),
        todo=todo or ["Nothing."],
    )


def _broke(incident: Incident) -> list[str]:
    where = f"{incident.scope.service} in {incident.scope.region}"
    opened = f"{date(incident.opened_at_ms)} {time(incident.opened_at_ms)[:8]} UTC"
    said = [
        t.annotations.get("summary") or f"{t.rule} was {t.value:.4g}" for t in incident.triggers
    ]
    lines = [f"{rule}: {text}." for rule, text in _by_rule(incident, said)]
    if incident.pulled_by:
        lines.append(f"Pulled by hand by {incident.pulled_by}.")
    return [f"At {opened}, on {where}:", *lines]


def _by_rule(incident: Incident, said: list[str]) -> list[tuple[str, str]]:
    """The first thing that each rule said."""
    found: dict[str, str] = {}
    for trigger, text in zip(incident.triggers, said, strict=True):
        found.setdefault(trigger.rule, text.rstrip("."))
    return list(found.items())


def _done(incident: Incident) -> list[str]:
    given_back = {m.op_id for m in incident.ledger if m.status is MeasureStatus.RESTORED}
    # a receipt of giving back has an op of its own, which no measure and no first act has
    acts = [r for r in incident.receipts if not _gives_back(incident, r.op_id)]
    deeds = list(dict.fromkeys(deed(receipt.target) for receipt in acts))
    if not deeds:
        return ["Nothing was moved."]
    first, last = acts[0].started_at_ms, acts[-1].sealed_at_ms
    lines = [f"rollbackd {listed(deeds)}, within {span(first, last)}."]
    if incident.flipped_at_ms is not None:
        taken = span(incident.opened_at_ms, incident.flipped_at_ms)
        lines.append(f"The pointer was back {taken} after the incident was opened.")
    if incident.reverted:
        lines.append("The flip was put back again.")
    if given_back:
        lines.append(f"{len(given_back)} of {len(incident.ledger)} measures were given back.")
    return lines


def _gives_back(incident: Incident, op_id: str) -> bool:
    """Whether a receipt is of putting back what an earlier one had moved."""
    place = next(n for n, receipt in enumerate(incident.receipts) if receipt.op_id == op_id)
    receipt = incident.receipts[place]
    return any(
        earlier.target == receipt.target
        and (earlier.after, earlier.before) == (receipt.before, receipt.requested)
        for earlier in incident.receipts[:place]
    )


def _now(incident: Incident) -> list[str]:
    lines = [_ending(incident)]
    bad = [r.name for r in incident.readings if r.verdict is not Verdict.GREEN]
    if incident.green_at_ms is not None:
        held = span(0, incident.hold.green_ms)
        lines.append(
            f"Every exit target was green for {held} until {time(incident.green_at_ms)[:8]}."
        )
    elif bad:
        lines.append(f"Not green when it was read last: {', '.join(bad)}.")
    left = _left(incident)
    if left:
        lines.append(f"Still in force: {', '.join(str(m.change.target) for m in left)}.")
    elif incident.ledger:
        lines.append("Nothing temporary of rollbackd is in force.")
    return lines


def _ending(incident: Incident) -> str:
    if incident.state is State.CLOSED:
        return f"It is over since {time(incident.closed_at_ms)[:8]} UTC, and the audit passed."
    if incident.state is State.ABORTED:
        return f"A person ended it at {time(incident.closed_at_ms)[:8]} UTC: {incident.note}."
    if incident.state is State.OBSERVED:
        return f"It was only observed: {incident.reason}."
    because = f"{incident.reason}: {incident.note}" if incident.note else str(incident.reason)
    return f"It is in state {incident.state} because of {because}."


def _todo(incident: Incident) -> list[str]:
    lines = []
    if incident.state is State.NEEDS_HUMAN:
        lines.append(
            f"Decide how it goes on: `rollbackd decide {incident.id} ...`; nothing more is moved"
            " until then."
        )
    names = ", ".join(str(m.change.target) for m in _left(incident))
    if names and incident.is_open:
        lines.append(f"`rollbackd decide {incident.id} restore` gives back what is on: {names}.")
    elif names:
        lines.append(f"Take the measures away that were left in force: {names}.")
    if moved := _moved_on(incident):
        lines.append(f"Look at what somebody else moved meanwhile: {', '.join(moved)}.")
    if failed := [check.name for check in incident.audit if not check.passed]:
        lines.append(f"Look at what the audit found: {', '.join(failed)}.")
    if missing := _not_captured(incident):
        lines.append(f"Mend what could not be captured: {', '.join(missing)}.")
    if not incident.is_open and incident.root_cause is None and incident.acted:
        lines.append(
            f"Find the root cause and file it: `rollbackd close {incident.id} --final ...`."
        )
    return lines


def _left(incident: Incident) -> list[Measure]:
    return [m for m in incident.ledger if m.status in _LEFT]


def _moved_on(incident: Incident) -> list[str]:
    left_alone = MeasureStatus.LEFT_ALONE
    return [str(m.change.target) for m in incident.ledger if m.status is left_alone]


def _not_captured(incident: Incident) -> list[str]:
    evidence = incident.evidence
    if evidence is None:
        return []
    pins = [f"pin {name}" for name in evidence.missing_pins]
    return [*evidence.unavailable, *pins]
