"""Invariants of an effect: what must hold when a control is moved by an incident."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from rollbackd.app.simulation.tracks import Acted, Invariant, Track
from rollbackd.levers import LEVER_SPECS
from rollbackd.model.controls import Control
from rollbackd.model.incidents import State
from rollbackd.model.labels import Scope
from rollbackd.model.levers import LeverKind, Op

if TYPE_CHECKING:
    from rollbackd.app.simulation.referee import Referee


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A control that was moved: by which process and intent, from what to what."""

    life: object
    track: Track
    acted: Acted
    scope: Scope
    before: Control
    after: Control
    op: Op

    @property
    def kind(self) -> LeverKind:
        """The kind of the lever that did it."""
        return LEVER_SPECS[self.acted.intent.change.target.lever].kind

    @property
    def is_flip(self) -> bool:
        """Whether it moved a pointer towards the known good."""
        return self.kind is LeverKind.POINTER and self.acted.intent.reverts is None

    @property
    def name(self) -> str:
        """What it is called in a message."""
        return f"`{self.after.name}` of {self.scope} by {self.op.op_id}"


def _once(referee: "Referee", effect: Effect) -> None:
    if effect.acted.number is not None:
        referee.fail(Invariant.ONCE, f"{effect.name} took effect twice", effect.op.incident_id)


def _epoch(referee: "Referee", effect: Effect) -> None:
    fence = referee.fences.get(effect.scope, 0)
    if effect.op.epoch < fence:
        message = f"{effect.name} took effect under epoch {effect.op.epoch} after {fence}"
        referee.fail(Invariant.EPOCH, message, effect.op.incident_id)


def _one_writer(referee: "Referee", effect: Effect) -> None:
    owner = referee.epochs.get((effect.scope, effect.op.epoch))
    if owner is not effect.life:
        message = f"{effect.name} was moved by a process that the epoch was not given to"
        referee.fail(Invariant.ONE_WRITER, message, effect.op.incident_id)


def _fenced_flip(referee: "Referee", effect: Effect) -> None:
    incident = effect.track.incident
    if not effect.is_flip or incident.policy.freeze is None or not incident.is_open:
        return
    if referee.by_hand.get((effect.scope, "writes")):
        return
    service = referee.world.service_of(effect.scope)
    blocked = referee.world.controls.look(effect.scope, "writes").effective.get("blocked")
    if not blocked or (incident.policy.freeze.confirm and not service.stood_still):
        message = f"{effect.name} was flipped while writers could write"
        referee.fail(Invariant.FENCED_FLIP, message, incident.id)


def _unfrozen(referee: "Referee", effect: Effect) -> None:
    blocked = effect.before.effective.get("blocked"), effect.after.effective.get("blocked")
    if effect.after.name != "writes" or blocked != (True, False):
        return
    track = effect.track
    if track.held or track.decisions:
        return
    message = (
        f"{effect.name} let writers go after {track.green_ms / 1e3:g} s of green"
        f" instead of {track.incident.policy.hold_ms / 1e3:g} s, and no person had a say"
    )
    referee.fail(Invariant.UNFROZEN, message, effect.op.incident_id)


def _compared(referee: "Referee", effect: Effect) -> None:
    intent = effect.acted.intent
    if intent.reverts is not None and effect.before.trip != intent.change.after:
        message = f"{effect.name} put back over {effect.before.trip}, which somebody else had set"
        referee.fail(Invariant.COMPARED, message, effect.op.incident_id)


def _forward(referee: "Referee", effect: Effect) -> None:
    if effect.after.name != "cache":
        return
    before, after = (c.effective.get("generation") for c in (effect.before, effect.after))
    if not (isinstance(before, int) and isinstance(after, int) and after > before):
        message = f"{effect.name} went from generation {before} to {after}"
        referee.fail(Invariant.FORWARD, message, effect.op.incident_id)


def _registered(referee: "Referee", effect: Effect) -> None:
    if effect.kind is not LeverKind.TEMPORARY or effect.acted.intent.reverts is not None:
        return
    ids = {measure.op_id for measure in effect.track.incident.ledger}
    if effect.op.op_id not in ids:
        message = f"{effect.name} was taken without its undo being written down"
        referee.fail(Invariant.LEDGER, message, effect.op.incident_id)


def _approved(referee: "Referee", effect: Effect) -> None:
    track = effect.track
    if track.incident.policy.approval is not None and not track.approved:
        message = f"{effect.name} was moved before anybody approved"
        referee.fail(Invariant.APPROVED, message, effect.op.incident_id)


def _not_after_the_end(referee: "Referee", effect: Effect) -> None:
    if effect.track.incident.state in {State.CLOSED, State.OBSERVED}:
        message = f"{effect.name} was moved after the incident had ended"
        referee.fail(Invariant.ACTED_ENDS, message, effect.op.incident_id)


CHECKS: Final[tuple[Callable[["Referee", Effect], None], ...]] = (
    _once,
    _epoch,
    _one_writer,
    _fenced_flip,
    _unfrozen,
    _compared,
    _forward,
    _registered,
    _approved,
    _not_after_the_end,
)
