"""The runner of a backtest: takes the checklist at once, then holds the incident open.

The steps are production's (`incidents.step`, `LeverRoom`, the levers); only what they act on is
not. A recording does not react to a lever, so nothing in it can say whether the rollback helped:
every exit target counts as green from the flip on, and the incident stays open for the hold of its
branch. One that would wait for a person stays open as long.
"""

from dataclasses import dataclass, field
from typing import Final

from rollbackd.app.backtest.dry_controls import DryControls
from rollbackd.app.backtest.findings import Act, Joined, Moved
from rollbackd.clock import Clock
from rollbackd.evidence.capture import EvidenceCapture
from rollbackd.evidence.pins import PinsTable
from rollbackd.incidents import messages as m
from rollbackd.incidents.performing import LeverRoom
from rollbackd.incidents.step import next_command, step
from rollbackd.incidents.turning import answers_for
from rollbackd.model.incidents import Confirmation, Incident, State
from rollbackd.model.labels import Scope
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.reconciliation import Reconciliation
from rollbackd.model.triggers import TargetReading, Trigger, Verdict
from rollbackd.ports import Store

_PINS: Final = "pins"


@dataclass(slots=True)
class Case:
    """One incident in dry run, with what it would have moved."""

    incident: Incident
    acts: list[Act] = field(default_factory=list)
    joined: list[Joined] = field(default_factory=list)
    branches: list[str] = field(default_factory=list)
    mail: list[m.TriggerJoined | m.CompensationAsked] = field(default_factory=list)
    rank: int = 0

    def __post_init__(self) -> None:
        self.branches = [self.incident.branch]
        self.rank = self.incident.policy.priority


class DryRunner:
    """Implements `app.dispatch.Driver`; `advance` brings its incidents to the present."""

    def __init__(
        self,
        *,
        store: Store,
        room: LeverRoom,
        capture: EvidenceCapture,
        controls: DryControls,
        pins: PinsTable,
        clock: Clock,
    ) -> None:
        #: Every incident that was ever driven, by id.
        self.cases: dict[str, Case] = {}
        self._open: list[Case] = []
        self._store = store
        self._room = room
        self._capture = capture
        self._controls = controls
        self._pins = pins
        self._clock = clock

    def current(self) -> list[Incident]:
        """See Driver."""
        return [case.incident for case in self._open]

    def start(self, incident: Incident) -> None:
        """See Driver. Each incident finds the scope as it was recorded, not as the last left it."""
        self._controls.record(incident.scope, self._recorded(incident.scope))
        case = self.cases[incident.id] = Case(incident)
        self._open.append(case)

    def join(self, incident_id: str, trigger: Trigger, policy: BranchPolicy) -> bool:
        """See Driver."""
        case = self.cases[incident_id]
        case.mail.append(m.TriggerJoined(trigger=trigger, policy=policy))
        answered = answers_for(case.incident.state, case.rank, policy)
        if answered:
            case.rank = policy.priority
        case.joined.append(
            Joined(
                at_ms=self._clock.now(),
                rule=trigger.rule,
                branch=policy.branch,
                value=trigger.value,
                answered=answered,
            )
        )
        return answered

    async def compensate(self, incident_id: str, *, because: str) -> bool:
        """See Driver."""
        case = self.cases[incident_id]
        case.mail.append(m.CompensationAsked(because=because))
        return case.incident.is_open

    async def advance(self, now_ms: int) -> None:
        """Do everything that is due by now."""
        for case in self._open:
            await self._advance(case, now_ms)
        self._open = [case for case in self._open if case.incident.is_open]

    async def _advance(self, case: Case, now_ms: int) -> None:
        at_ms = min(now_ms, self._clock.now())
        while case.incident.is_open:
            if case.mail:
                await self._take(case, case.mail.pop(0), now_ms)
                continue
            command = next_command(case.incident)
            assert command is not None
            if isinstance(command, m.Watch | m.AwaitPerson):
                at_ms = _next_look(case.incident)
                if at_ms > now_ms:
                    return
                await self._take(case, _looked(case.incident, at_ms), at_ms)
            else:
                await self._take(case, await self._answer(case, command, at_ms), at_ms)

    async def _answer(self, case: Case, command: m.Command, at_ms: int) -> m.Event:
        """Perform a command that needs no time."""
        incident = case.incident
        match command:
            case m.CaptureEvidence():
                return m.Captured(evidence=await self._capture.capture(incident))
            case m.Prepare():
                known_good = await self._store.known_good(incident.scope)
                prepared = await self._room.prepare(incident, command, known_good)
                case.acts.append(_act(incident, prepared, at_ms))
                return prepared
            case m.Perform():
                return await self._room.perform(incident, command.intent)
            case m.ConfirmFreeze():
                # a recording has no writers that could be probed
                return m.FreezeChecked(
                    confirmations=[
                        Confirmation(probe=each.kind, confirmed=True) for each in command.probes
                    ]
                )
            case m.Reconcile():
                # nor a listing of the effects that are there
                found = Reconciliation(at_ms=at_ms, from_ms=incident.opened_at_ms, to_ms=at_ms)
                return m.Reconciled(reconciliation=found)
            case m.RunAudit():
                # nothing was moved, so there is nothing to check
                return m.Audited(checks=[])
            case _:
                return m.Continued()

    async def _take(self, case: Case, event: m.Event, at_ms: int) -> None:
        after, record = step(case.incident, event, at_ms)
        await self._store.advance(after, [record] if record else [])
        case.incident = after
        if after.branch != case.branches[-1]:
            case.branches.append(after.branch)

    def _recorded(self, scope: Scope) -> dict[str, dict[str, object]]:
        """The controls that the recording tells of: what the suspect arm ran with."""
        seen = self._pins.of(scope)
        pins = seen.get("canary") or next(iter(seen.values()), {})
        return {_PINS: dict(pins)} if pins else {}


def _next_look(incident: Incident) -> int:
    """When an incident that waits is looked at next."""
    hold, policy = incident.hold, incident.policy
    command = next_command(incident)
    if isinstance(command, m.AwaitPerson):
        ends_ms = incident.entered_at_ms + policy.hold_ms
        return ends_ms if command.until_ms is None else command.until_ms
    if hold.read_at_ms is None:
        return incident.entered_at_ms
    return hold.read_at_ms + min(policy.watch_interval_ms, policy.hold_ms - hold.green_ms)


def _looked(incident: Incident, at_ms: int) -> m.Event:
    """What is assumed of the time after a decision."""
    if incident.state is State.AWAITING_APPROVAL:
        return m.Continued()  # nobody answers: the policy decides at the deadline
    if isinstance(next_command(incident), m.AwaitPerson):
        return m.Decided(
            decision=m.Decision.ABORT_LEAVING_MEASURES, by=f"the end of the dry run at {at_ms}"
        )
    return m.Read(
        readings=[
            TargetReading(
                name=target.name,
                verdict=Verdict.GREEN,
                bound=target.bound,
                direction="below" if target.below is not None else "above",
            )
            for target in incident.policy.exit_targets
        ]
    )


def _act(incident: Incident, prepared: m.Prepared | m.NothingToMove | m.Refused, at_ms: int) -> Act:
    call = prepared.call
    moved, note = Moved.NOTHING_TO_MOVE, ""
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None
    if isinstance(prepared, m.Prepared):
        moved, after = Moved.WOULD_MOVE, prepared.change.after
        observed = prepared.change.before
        before = observed.value if observed.version else None
    elif isinstance(prepared, m.Refused):
        moved, note = Moved.REFUSED, prepared.message
    return Act(
        at_ms=at_ms,
        step=incident.state,
        lever=call.lever,
        name=call.name,
        moved=moved,
        before=before,
        after=after,
        note=note,
    )
