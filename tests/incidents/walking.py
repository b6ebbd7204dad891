"""Walking an incident by hand: answers to its commands, and what must hold after every step."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.ledger import taken
from rollbackd.incidents.step import next_command, step
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import (
    AuditCheck,
    Confirmation,
    Incident,
    JournalRecord,
    MeasureStatus,
    State,
)
from rollbackd.model.levers import Applied, Change, LeverKind, Observation, Receipt, Target
from rollbackd.model.reconciliation import (
    DownstreamState,
    EffectVerdict,
    LedgerState,
    ReconciledItem,
    Reconciliation,
    Resolution,
)
from rollbackd.model.triggers import Verdict
from tests.incidents.samples import KINDS, NOW, SCOPE, evidence_of, opened, reading

#: Answers a command, or None to leave it to the walk.
Answer = Callable[[m.Command], m.Event | None]


def reads(verdicts: Iterable[Verdict], then: Verdict = Verdict.GREEN) -> Answer:
    """One verdict a reading, then the same for ever."""
    left = iter(verdicts)

    def answer(command: m.Command) -> m.Event | None:
        if isinstance(command, m.Watch):
            return m.Read(readings=[reading(next(left, then))])
        return None

    return answer


class Walk:
    """One incident, stepped under watch."""

    def __init__(self, incident: Incident | None = None, answer: Answer | None = None) -> None:
        self.incident = incident if incident is not None else opened()
        self.now_ms = NOW
        self.records: list[JournalRecord] = []
        self.states: list[State] = [self.incident.state]
        self.commands: list[m.Command] = []
        self._answer: Answer = answer or (lambda _: None)
        self._version = 0
        self._op_ids: set[str] = set()
        self._frozen = False
        self._rotation_owed = False
        self._restore_said = False

    def to(self, *states: State, limit: int = 500) -> Incident:
        """Answer commands until a state is reached."""
        for _ in range(limit):
            if self.incident.state in states:
                return self.incident
            self.turn()
        raise AssertionError(f"{self.incident.state} after {limit} turns, wanted {states}")

    def until_pending(self, lever: str, *, limit: int = 500) -> Incident:
        """Answer commands until an act of this lever is journaled and not performed."""
        for _ in range(limit):
            pending = self.incident.pending
            if pending is not None and pending.change.target.lever == lever:
                return self.incident
            self.turn()
        raise AssertionError(f"{lever} was never pending")

    def turn(self) -> None:
        """Answer the next command."""
        command = next_command(self.incident)
        assert command is not None
        self.commands.append(command)
        if isinstance(command, m.Watch):
            self.now_ms += self.incident.policy.watch_interval_ms
        elif isinstance(command, m.AwaitPerson):
            self.now_ms += 15_000
        self.say(self._answer(command) or self.answer_to(command))

    def say(self, event: m.Event) -> JournalRecord | None:
        """Step, and check what must hold after any step."""
        before = self.incident
        after, record = step(before, event, self.now_ms)
        self.incident = after
        self._check(before, event, after)
        if record is not None:
            assert record.sequence == after.version
            assert (record.from_state, record.to_state) == (before.state, after.state)
            self.records.append(record)
        if after.state is not before.state:
            self.states.append(after.state)
        return record

    def answer_to(self, command: m.Command) -> m.Event:
        """The answer when all is well."""
        match command:
            case m.CaptureEvidence():
                return m.Captured(evidence=evidence_of(branch=self.incident.branch))
            case m.Prepare():
                return prepared(command)
            case m.Perform(intent=intent) if intent.reverts is not None:
                return m.GivenBack(restored=True, receipt=receipt_of(command))
            case m.Perform(intent=intent):
                applied = Applied(change=intent.change, op_id=intent.op.op_id, version=2)
                return m.Sealed(receipt=receipt_of(command), applied=applied)
            case m.ConfirmFreeze(probes=probes):
                return checked(*(True for _ in probes))
            case m.Watch():
                return m.Read(readings=[reading(Verdict.GREEN)])
            case m.Reconcile():
                return compared()
            case m.RunAudit():
                kept = bool(taken(self.incident)) or self.incident.evidence is None
                return m.Audited(checks=[AuditCheck(name="all", passed=not kept)])
            case _:
                return m.Continued()

    def _check(self, before: Incident, event: m.Event, after: Incident) -> None:
        assert after.version == before.version + 1
        self._follow(before, event)
        fresh = after.pending is not None and before.pending is None
        if fresh and after.pending is not None:
            op_id = after.pending.op.op_id
            assert op_id not in self._op_ids, "an op id was used twice"
            self._op_ids.add(op_id)
            assert after.pending.op.epoch == after.epoch
            self._check_pending(after)
        if after.state is State.WATCHING and before.state is not State.WATCHING:
            assert not self._rotation_owed, "watching after a flip without a rotation (F1)"
        if after.state is State.CLOSED:
            assert after.evidence is not None, "closed without evidence (F5)"
            assert not taken(after), "closed with a measure in force (F4)"
            assert after.closed_at_ms is not None
            assert not self._rotation_owed, "closed after a flip without a rotation (F1)"
        if after.state is State.ABORTED:
            statuses = {each.status for each in after.ledger}
            kept = {MeasureStatus.TAKEN, MeasureStatus.REGISTERED}
            assert not statuses & kept, "a measure was forgotten by an abort"
        self._check_unfreezing(before, event, after)
        if after.branch != before.branch:
            self._frozen = False

    def _check_unfreezing(self, before: Incident, event: m.Event, after: Incident) -> None:
        """Only green for the hold, or a person, gives anything back."""
        if isinstance(event, m.Decided) and event.decision == m.Decision.RESTORE:
            self._restore_said = True
        if after.state is State.RESTORING and before.state is not State.RESTORING:
            held = after.hold.green_ms >= after.policy.hold_ms
            green = before.state is State.WATCHING and held
            assert green or self._restore_said, "unfrozen without green data or a person"

    def _check_pending(self, after: Incident) -> None:
        pending = after.pending
        assert pending is not None
        if after.state is State.REVERTING:
            assert pending.reverts == after.flips[-1], "not the youngest flip"
        elif pending.reverts is not None:
            assert pending.change == taken(after)[-1].change, "not the youngest measure"
        elif pending.kind is LeverKind.TEMPORARY:
            statuses = {each.op_id: each.status for each in after.ledger}
            assert statuses[pending.op.op_id] is MeasureStatus.REGISTERED
        if after.state is State.FLIPPING and after.policy.freeze is not None:
            assert self._frozen, "flipped before the freeze was confirmed (F2)"

    def _follow(self, before: Incident, event: m.Event) -> None:
        confirmed = isinstance(event, m.Sealed | m.NothingToMove)
        if before.state is State.FREEZING:
            self._follow_freeze(before, event)
        if before.state is State.ROTATING and confirmed:
            self._rotation_owed = False
        if before.state is State.RESTORING and confirmed:
            self._rotation_owed = False
        if isinstance(event, m.Decided) and event.decision == m.Decision.ROTATED:
            self._rotation_owed = self._rotation_owed and before.state is not State.NEEDS_HUMAN
        flipped = isinstance(event, m.NothingToMove) and event.index is not None
        if flipped or (before.state is State.FLIPPING and isinstance(event, m.Sealed)):
            self._rotation_owed = True

    def _follow_freeze(self, before: Incident, event: m.Event) -> None:
        freeze = before.policy.freeze
        assert freeze is not None
        if isinstance(event, m.Sealed | m.NothingToMove):
            self._frozen = not freeze.confirm
        if isinstance(event, m.FreezeChecked):
            assert len(event.confirmations) == len(freeze.confirm)
            self._frozen = all(each.confirmed for each in event.confirmations)


def prepared(command: m.Prepare, **after: Any) -> m.Prepared:
    """A change that the lever planned."""
    call = command.call
    change = Change(
        target=Target(lever=call.lever, scope=SCOPE, name=call.name),
        before=Observation(value={"was": 1}, version=1, undo={"trip": None}),
        after=after or {"is": 2},
    )
    return m.Prepared(change=change, kind=KINDS[call.lever], call=call, index=command.index)


def checked(*confirmed: bool) -> m.FreezeChecked:
    """What the probes said, in turn."""
    return m.FreezeChecked(
        confirmations=[Confirmation(probe=f"p{i}", confirmed=c) for i, c in enumerate(confirmed)]
    )


def compared(*, open_items: int = 0, unavailable: str = "", listing: str = "x") -> m.Reconciled:
    """What a comparison of receipts found."""
    items = [
        ReconciledItem(
            key=f"k{number}",
            ledger_state=LedgerState.ABSENT,
            downstream_state=DownstreamState.PRESENT,
            verdict=EffectVerdict.EXTRA,
            resolution=Resolution.UNDO_OR_RECORD,
            downstream_effects=["e1"],
        )
        for number in range(open_items)
    ]
    found = Reconciliation(
        at_ms=NOW,
        from_ms=NOW - 1,
        to_ms=NOW,
        listing=listing,
        unavailable=unavailable,
        counts={EffectVerdict.EXTRA: open_items},
        items=items,
        open_items=open_items,
    )
    return m.Reconciled(reconciliation=found)


def drift(flip: Change) -> Change:
    """Somebody moved the pointer elsewhere."""
    return replace(flip, before=Observation(value={"theirs": 3}, version=9))


def lift(walk: Walk) -> Change:
    """Somebody took the fence away: it is as it was before the freeze."""
    freeze = walk.incident.policy.freeze
    assert freeze is not None
    return Change(
        target=Target(lever=freeze.lever, scope=SCOPE, name=freeze.name),
        before=Observation(value={"was": 1}, version=9),
        after={"is": 2},
    )


def receipt_of(command: m.Perform, *, reconciled: bool = False) -> Receipt:
    """What is sealed when the act went well."""
    intent = command.intent
    return Receipt(
        op_id=intent.op.op_id,
        target=intent.change.target,
        before=intent.change.before.value,
        requested=intent.change.after,
        after=intent.change.after,
        version=2,
        epoch=intent.op.epoch,
        started_at_ms=intent.started_at_ms,
        sealed_at_ms=NOW,
        reconciled=reconciled,
    )


def failed(reason: Reason = Reason.LEVER_FAILED) -> m.Failed:
    """An act that cannot succeed."""
    return m.Failed(reason=reason, message=f"because of {reason}")
