"""Bugs to be found: each changes one production function, as somebody might by mistake."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest
from msgspec.structs import replace

from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.intake import Intake
from rollbackd.app.recovery import Recovery
from rollbackd.app.simulation.controls import SimulatedControls
from rollbackd.app.simulation.tracks import Invariant
from rollbackd.errors import TemporaryError
from rollbackd.incidents import (
    acting,
    approval,
    choosing,
    freezing,
    giving_back,
    ledger,
    moves,
    states,
    step,
    watching,
)
from rollbackd.incidents import messages as m
from rollbackd.incidents.drive import Drive
from rollbackd.incidents.performing import LeverRoom
from rollbackd.incidents.runner import Runner
from rollbackd.levers.control_lever import ControlLever
from rollbackd.model.events import AlertStatus
from rollbackd.model.incidents import Incident, State
from rollbackd.model.levers import Applied, Change, Op
from rollbackd.model.triggers import TargetReading, Verdict

Patch = pytest.MonkeyPatch


def skip_the_journal(patch: Patch) -> None:
    """The lever acts as soon as the change is planned, before the intent is written down."""
    prepare = LeverRoom.prepare

    async def act_at_once(
        self: LeverRoom, incident: Incident, command: m.Prepare, known_good: Any
    ) -> m.Event:
        answer = await prepare(self, incident, command, known_good)
        if isinstance(answer, m.Prepared):
            op = Op(
                op_id=f"{incident.id}:{incident.acts + 1}",
                epoch=incident.epoch,
                incident_id=incident.id,
            )
            await self._levers[command.call.lever].apply(answer.change, op)
        return answer

    patch.setattr(LeverRoom, "prepare", act_at_once)


def seal_before_the_read_back(patch: Patch) -> None:
    """What was asked for counts as done."""

    async def believe(_self: ControlLever, _change: Change) -> bool:
        return True

    patch.setattr(ControlLever, "verify", believe)


def unknown_is_green(patch: Patch) -> None:
    """No data is good data."""

    def hopeful(readings: list[TargetReading]) -> Verdict:
        red = any(reading.verdict is Verdict.RED for reading in readings)
        return Verdict.RED if red else Verdict.GREEN

    patch.setattr(watching, "overall", hopeful)


def drop_the_epoch_check(patch: Patch) -> None:
    """The controls take a write of whoever comes."""
    patch.setattr(SimulatedControls, "is_stale", lambda *_: False)


def forget_an_undo_on_escalation(patch: Patch) -> None:
    """The next lever begins with a clean ledger."""
    enter = moves.enter

    def forgetful(incident: Incident, state: State, *rest: Any) -> Incident:
        after = enter(incident, state, *rest)
        return replace(after, ledger=[]) if state is State.ESCALATING else after

    patch.setattr(moves, "enter", forgetful)


def unfreeze_at_restart(patch: Patch) -> None:
    """A new process begins with giving everything back."""
    launch = Runner._launch

    def eager(self: Runner, incident: Incident, *, first: m.Event | None) -> None:
        launch(self, replace(incident, restore_asked=first is not None), first=first)

    patch.setattr(Runner, "_launch", eager)


def resume_with_the_same_epoch(patch: Patch) -> None:
    """A new process goes on under the epoch of the one before."""

    async def resume(self: Runner, incident: Incident) -> None:
        self._launch(incident, first=m.Resumed(epoch=incident.epoch))

    patch.setattr(Runner, "resume", resume)


def act_on_paused(patch: Patch) -> None:
    """The guardrail does not hear of the pause."""
    patch.setattr(Dispatcher, "pause_in_force", None)


def flip_without_a_confirmed_freeze(patch: Patch) -> None:
    """Nobody asks the probes whether writers stand still."""
    for module in (choosing, freezing, states, watching):
        patch.setattr(module, "freeze_stands", lambda _: True)


def skip_the_rotation(patch: Patch) -> None:
    """After the flip, straight to the watch."""
    enter = moves.enter

    def short(incident: Incident, state: State, *rest: Any) -> Incident:
        if state is not State.ROTATING:
            return enter(incident, state, *rest)
        incident = replace(incident, rotation_owed=False)
        return enter(incident, states.next_state(incident.policy, state), *rest)

    patch.setattr(moves, "enter", short)


def restore_without_compare(patch: Patch) -> None:
    """Put back what stood before, whoever was there meanwhile."""

    async def overwrite(self: ControlLever, applied: Applied, op: Op) -> bool:
        target = applied.change.target
        control = await self._read(target)
        earlier: Any = applied.change.before.undo.get("trip")
        await self._trip(target, earlier, control.version, op)
        return True

    patch.setattr(ControlLever, "revert", overwrite)


def a_gap_counts_as_green(patch: Patch) -> None:
    """Two green readings vouch for all the time between them."""
    patch.setattr(watching, "_max_gap_ms", lambda _: 1 << 60)


def resolved_counts_as_green(patch: Patch) -> None:
    """Alertmanager says `resolved`, so it must be well."""
    watch = Drive._watch

    async def trusting(self: Drive, command: m.Watch) -> m.Event:
        event = await watch(self, command)
        alerts = self._around.targets.board.alerts.values()  # type: ignore[attr-defined]
        resolved = alerts and all(alert.status is AlertStatus.RESOLVED for alert in alerts)
        if not (resolved and isinstance(event, m.Read)):
            return event
        green = [replace(reading, verdict=Verdict.GREEN) for reading in event.readings]
        return replace(event, readings=green)

    patch.setattr(Drive, "_watch", trusting)


def act_twice_after_a_lost_reply(patch: Patch) -> None:
    """An act without an answer is tried anew, under a new name and from what stands now."""
    apply = ControlLever.apply

    async def again(self: ControlLever, change: Change, op: Op) -> Applied:
        try:
            return await apply(self, change, op)
        except TemporaryError:
            now = await self.observe(change.target)
            again = replace(op, op_id=f"{op.op_id}-again")
            return await apply(self, replace(change, before=now), again)

    patch.setattr(ControlLever, "apply", again)


def say_yes_before_it_is_written(patch: Patch) -> None:
    """A person hears that the decision is taken while it is in memory only."""

    async def decide(self: Runner, incident_id: str, decision: str, *, by: str) -> bool:
        drive = self._drives.get(incident_id)
        if drive is None or not drive.incident.is_open:
            return False
        drive.tell(m.Resumed(epoch=await self._around.store.next_epoch(drive.incident.scope)))
        drive.tell(m.Decided(decision=decision, by=by))
        return True

    patch.setattr(Runner, "decide", decide)


def forget_an_act_that_may_stand(patch: Patch) -> None:
    """A target that refuses the read-back is taken for one that was not moved."""

    async def never(*_: Any) -> bool:
        return False

    patch.setattr(LeverRoom, "_may_stand", never)


def lose_the_page_in_a_restart(patch: Patch) -> None:
    """Who waits for a person asks once, even if nobody heard."""

    async def resume(self: Recovery, incident: Incident) -> None:
        await self._shut_out(incident)
        await self._runner.resume(incident)

    patch.setattr(Recovery, "_resume", resume)


def take_over_without_a_fence(patch: Patch) -> None:
    """What the process before has sent may still arrive."""

    async def leave_open(_self: Recovery, _incident: Incident) -> None:
        return

    patch.setattr(Recovery, "_shut_out", leave_open)


def forget_the_deadline_of_a_measure(patch: Patch) -> None:
    """A freeze may last as long as it likes."""
    patch.setattr(moves, "page_overdue", lambda incident, _now_ms: (incident, {}))


def act_before_the_approval(patch: Patch) -> None:
    """Nobody is asked."""
    patch.setattr(approval, "is_needed", lambda _: False)


def take_without_registering(patch: Patch) -> None:
    """The undo is written down once the measure is in force."""

    def later(incident: Incident, *_: Any) -> Incident:
        return incident

    patch.setattr(acting, "register", later)


def end_without_a_report(patch: Patch) -> None:
    """The post-mortem can wait."""

    async def skip(*_: Any) -> None: ...

    patch.setattr(Drive, "_write_report", skip)


def close_with_a_measure_in_force(patch: Patch) -> None:
    """One measure given back is enough."""
    give_back = ledger.with_restored

    def all_at_once(incident: Incident, *rest: Any, **named: Any) -> Incident:
        status = ledger.MeasureStatus.RESTORED
        ids = [measure.op_id for measure in ledger.taken(incident)]
        return ledger.with_status(give_back(incident, *rest, **named), ids, status)

    patch.setattr(giving_back, "with_restored", all_at_once)


def forget_alerts_in_a_restart(patch: Patch) -> None:
    """Alerts that were accepted before the restart are not looked up."""

    async def nothing(_self: Intake) -> None: ...

    patch.setattr(Intake, "restore", nothing)


def break_the_chain(patch: Patch) -> None:
    """A process that took over begins a chain of its own."""
    chain = step.chain

    def anew(incident: Incident, record: Any) -> Any:
        forgetful = record.kind == "Resumed"
        return chain(replace(incident, chain_head="") if forgetful else incident, record)

    patch.setattr(step, "chain", anew)


class Planted(NamedTuple):
    """A bug and the invariants of which it breaks one."""

    plant: Callable[[Patch], None]
    breaks: set[Invariant]


PLANTED: Final = [
    Planted(skip_the_journal, {Invariant.INTENT_FIRST}),
    Planted(seal_before_the_read_back, {Invariant.READ_BACK}),
    Planted(unknown_is_green, {Invariant.UNFROZEN}),
    Planted(drop_the_epoch_check, {Invariant.EPOCH}),
    Planted(forget_an_undo_on_escalation, {Invariant.LEDGER}),
    Planted(unfreeze_at_restart, {Invariant.UNFROZEN}),
    Planted(resume_with_the_same_epoch, {Invariant.ONE_WRITER}),
    Planted(act_on_paused, {Invariant.PAUSED}),
    Planted(flip_without_a_confirmed_freeze, {Invariant.FENCED_FLIP}),
    Planted(skip_the_rotation, {Invariant.ROTATED, Invariant.ALIVE}),
    Planted(restore_without_compare, {Invariant.COMPARED}),
    Planted(a_gap_counts_as_green, {Invariant.UNFROZEN}),
    Planted(resolved_counts_as_green, {Invariant.UNFROZEN}),
    Planted(act_twice_after_a_lost_reply, {Invariant.INTENT_FIRST, Invariant.ONCE}),
    Planted(say_yes_before_it_is_written, {Invariant.ACKNOWLEDGED}),
    Planted(forget_an_act_that_may_stand, {Invariant.ACTED_ENDS, Invariant.LEDGER}),
    Planted(lose_the_page_in_a_restart, {Invariant.NOTICED, Invariant.ENDS}),
    Planted(take_over_without_a_fence, {Invariant.ACTED_ENDS, Invariant.ONE_WRITER}),
    Planted(forget_the_deadline_of_a_measure, {Invariant.NOTICED}),
    Planted(act_before_the_approval, {Invariant.APPROVED}),
    Planted(take_without_registering, {Invariant.LEDGER}),
    Planted(end_without_a_report, {Invariant.REPORTED}),
    Planted(close_with_a_measure_in_force, {Invariant.LEDGER}),
    Planted(forget_alerts_in_a_restart, {Invariant.ACKNOWLEDGED}),
    Planted(break_the_chain, {Invariant.CHAIN}),
]
