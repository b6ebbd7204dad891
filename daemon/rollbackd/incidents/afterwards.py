"""Notes on an incident that has ended: what became of measures that were left in force. Pure."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from rollbackd.incidents.chain import chain
from rollbackd.incidents.ledger import left_in_force, with_status
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, JournalRecord, Measure, MeasureStatus

#: An incident with its new journal record.
Noted = tuple[Incident, JournalRecord]


def acknowledge(incident: Incident, by: str, now_ms: int) -> Noted:
    """A person knows of the measures that were left in force. Raises ValueError without any."""
    left = left_in_force(incident)
    if not left:
        raise ValueError(f"incident `{incident.id}` left no measure in force")
    after = _marked(incident, left, MeasureStatus.ACKNOWLEDGED)
    detail: dict[str, object] = {"by": by, "measures": _named(left)}
    return _noted(after, "MeasuresAcknowledged", Reason.OPERATOR_DECISION, detail, now_ms)


def ended_by_hand(incident: Incident, gone: Sequence[Measure], now_ms: int) -> Noted:
    """Measures that were left in force were read back and are not there any more."""
    after = _marked(incident, gone, MeasureStatus.ENDED_BY_HAND)
    detail: dict[str, object] = {"measures": _named(gone)}
    return _noted(after, "MeasuresEndedByHand", Reason.MEASURES_RESTORED, detail, now_ms)


def released(incident: Incident, control: str, *, by: str, because: str, now_ms: int) -> Noted:
    """A person took away the trip that the incident had laid over a control for good."""
    detail: dict[str, object] = {"control": control, "by": by, "because": because}
    return _noted(incident, "ControlReleased", Reason.OPERATOR_DECISION, detail, now_ms)


def _marked(incident: Incident, measures: Iterable[Measure], status: MeasureStatus) -> Incident:
    return with_status(incident, [each.op_id for each in measures], status)


def _named(measures: Iterable[Measure]) -> list[str]:
    return [str(each.change.target) for each in measures]


def _noted(
    incident: Incident, kind: str, reason: Reason, detail: dict[str, object], now_ms: int
) -> Noted:
    after = replace(incident, version=incident.version + 1)
    record = JournalRecord(
        incident_id=after.id,
        sequence=after.version,
        at_ms=now_ms,
        kind=kind,
        from_state=after.state,
        to_state=after.state,
        reason=reason,
        detail=detail,
    )
    return chain(after, record)
