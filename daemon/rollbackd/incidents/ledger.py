"""The undo ledger: measures are registered before they are taken and given back in reverse."""

from collections.abc import Iterable
from typing import Any

import msgspec

from rollbackd.model.incidents import Incident, Measure, MeasureStatus
from rollbackd.model.levers import Applied, Change


def register(incident: Incident, op_id: str, change: Change, deadline_ms: int) -> Incident:
    """Write a measure down before it is taken."""
    measure = Measure(op_id=op_id, change=change, deadline_ms=deadline_ms)
    return _with(incident, [*incident.ledger, measure])


def with_taken(incident: Incident, op_id: str, applied: Applied, now_ms: int) -> Incident:
    """The measure is in force, and this is how to undo it."""
    return _change(incident, op_id, status=MeasureStatus.TAKEN, applied=applied, taken_at_ms=now_ms)


def with_void(incident: Incident, op_id: str) -> Incident:
    """The measure never took effect."""
    registered = {m.op_id for m in incident.ledger if m.status is MeasureStatus.REGISTERED}
    return _change(incident, op_id, status=MeasureStatus.VOID) if op_id in registered else incident


def with_restored(incident: Incident, change: Change, *, restored: bool, now_ms: int) -> Incident:
    """The measure was given back, or left alone because it was no longer ours."""
    status = MeasureStatus.RESTORED if restored else MeasureStatus.LEFT_ALONE
    measure = next(m for m in reversed(taken(incident)) if m.change == change)
    return _change(incident, measure.op_id, status=status, ended_at_ms=now_ms)


def with_handed_over(incident: Incident, change: Change, to: str, now_ms: int) -> Incident:
    """The measure stays in force, and is another incident's from here on."""
    measure = next(m for m in reversed(taken(incident)) if m.change == change)
    status = MeasureStatus.HANDED_OVER
    return _change(incident, measure.op_id, status=status, handed_to=to, ended_at_ms=now_ms)


def with_lifted(incident: Incident, seen: Change, now_ms: int) -> Incident:
    """Measures whose target was seen as it had been before them: there is nothing to give back."""
    for measure in taken(incident):
        same = measure.change.target == seen.target
        if same and measure.change.before.value == seen.before.value:
            status = MeasureStatus.ENDED_BY_HAND
            incident = _change(incident, measure.op_id, status=status, ended_at_ms=now_ms)
    return incident


def taken(incident: Incident) -> list[Measure]:
    """Measures in force, oldest first."""
    return [m for m in incident.ledger if m.status is MeasureStatus.TAKEN]


def read_back(incident: Incident) -> list[Measure]:
    """Measures in force that were seen to be, oldest first; one that only may stand is none."""
    sealed = {receipt.op_id for receipt in incident.receipts}
    return [m for m in taken(incident) if m.op_id in sealed]


def perhaps_taken(incident: Incident) -> list[Measure]:
    """Measures in force, and one whose act is under way, oldest first."""
    kept = {MeasureStatus.TAKEN, MeasureStatus.REGISTERED}
    return [m for m in incident.ledger if m.status in kept]


def with_left(incident: Incident, now_ms: int) -> Incident:
    """Whatever is or may be in force is a person's from here on."""
    ids = {m.op_id for m in perhaps_taken(incident)}
    for op_id in ids:
        status = MeasureStatus.LEFT_IN_FORCE
        incident = _change(incident, op_id, status=status, ended_at_ms=now_ms)
    return incident


def left_in_force(incident: Incident) -> list[Measure]:
    """Measures that a person left in force and nobody has acknowledged."""
    return [m for m in incident.ledger if m.status is MeasureStatus.LEFT_IN_FORCE]


def with_status(incident: Incident, op_ids: Iterable[str], status: MeasureStatus) -> Incident:
    """These measures have another status."""
    for op_id in op_ids:
        incident = _change(incident, op_id, status=status)
    return incident


def give_back_next(incident: Incident) -> Measure | None:
    """The measure to give back now: the youngest in force."""
    return next(reversed(taken(incident)), None)


def overdue(incident: Incident, now_ms: int) -> list[Measure]:
    """Measures in force past their deadline."""
    return [m for m in taken(incident) if now_ms >= m.deadline_ms]


def _change(incident: Incident, op_id: str, **changes: Any) -> Incident:
    return _with(
        incident,
        [msgspec.structs.replace(m, **changes) if m.op_id == op_id else m for m in incident.ledger],
    )


def _with(incident: Incident, ledger: list[Measure]) -> Incident:
    return msgspec.structs.replace(incident, ledger=ledger)
