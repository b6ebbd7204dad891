"""Whether writers may be let go: receipts and what is there downstream have to agree (D4, A4).

A branch that freezes writers may say that they are compared first (`reconcile`). What is open then
keeps the freeze, and a person is asked: they put right what is wrong, or accept it item by item.
Pure.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents import moves
from rollbackd.incidents.ledger import taken
from rollbackd.incidents.moves import Detail, Next
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import AuditCheck, Incident
from rollbackd.model.policy import REQUIRED
from rollbackd.model.reconciliation import ReconciledItem, Reconciliation, Resolution

#: The audit's line about it.
CHECK: Final = "receipts_reconciled"


def is_owed(incident: Incident) -> bool:
    """Whether receipts have to be compared before anything is given back."""
    policy = incident.policy
    frozen = policy.freeze is not None and bool(taken(incident))
    return policy.reconcile != "off" and frozen and incident.reconciliation is None


def reconciled(incident: Incident, event: m.Reconciled, _now_ms: int) -> Next:
    """Go on when they agree; else a person has to look, and the freeze stays."""
    found = event.reconciliation
    reason = _reason(incident, found)
    detail = _told(found)
    unknown = reason is Reason.RECEIPTS_UNKNOWN
    insists = unknown and incident.restore_asked and incident.restore_met_unknown
    incident = replace(
        incident,
        reconciliation=found,
        restore_met_unknown=unknown and (incident.restore_asked or incident.restore_met_unknown),
    )
    if reason in {Reason.RECEIPTS_AGREE, Reason.NO_LISTING}:
        return replace(incident, reason=reason), detail
    if insists:
        # a person was told that it cannot be known, and takes that upon themselves
        return replace(incident, reason=reason), detail | {"on_a_persons_word": True}
    note = f"writers stay frozen: receipts: {found.in_words}"
    incident = replace(incident, restore_asked=False, note=note)
    return moves.ask_for_a_person(incident, reason), detail


def restore_said(incident: Incident) -> Incident:
    """A person wants everything given back: compare anew, whatever was said before."""
    return replace(incident, reconciliation=None)


def objection(incident: Incident, keys: Sequence[str]) -> str:
    """Why a person cannot accept these items, or an empty string."""
    known = {item.key for item in _items(incident) if item.is_open}
    if not known:
        return f"incident `{incident.id}` has no open item of a reconciliation"
    if unknown := sorted(set(keys) - known):
        return (
            f"`{unknown[0]}` is no open item of incident `{incident.id}`; open are"
            f" {', '.join(sorted(known)[:5])}{', ...' if len(known) > 5 else ''}"
        )
    return ""


def accepted(incident: Incident, event: m.ItemsAccepted, _now_ms: int) -> Next:
    """The items as they were found count as settled, for as long as just that is found."""
    detail: Detail = {"by": event.by, "because": event.because, "keys": event.keys}
    if because := objection(incident, event.keys):
        return replace(incident, note=because), detail | {"refused": because}
    taken_on = [item for item in _items(incident) if item.key in event.keys]
    keys = {item.key for item in taken_on}
    kept = [item for item in incident.accepted_items if item.key not in keys]
    incident = replace(
        incident,
        accepted_items=[*kept, *(item.finding for item in taken_on)],
        reconciliation=_without(incident.reconciliation, keys),
    )
    return incident, detail


def audit_check(found: Reconciliation) -> AuditCheck:
    """What the audit says of it; what cannot be known has failed (A4)."""
    passed = found.is_known and not found.open_items
    return AuditCheck(name=CHECK, passed=passed, detail=found.in_words)


def _reason(incident: Incident, found: Reconciliation) -> Reason:
    if found.is_known:
        return Reason.RECEIPTS_DISAGREE if found.open_items else Reason.RECEIPTS_AGREE
    unlisted = not found.listing and not found.unavailable
    if unlisted and incident.policy.reconcile != REQUIRED:
        return Reason.NO_LISTING
    return Reason.RECEIPTS_UNKNOWN


def _told(found: Reconciliation) -> Detail:
    if not found.is_known:
        return {"receipts": found.in_words}
    return {
        "listing": found.listing,
        "from_ms": found.from_ms,
        "to_ms": found.to_ms,
        "counts": {str(verdict): count for verdict, count in found.counts.items()},
        "settled": {str(resolution): count for resolution, count in found.settled.items()},
        "accepted": found.accepted,
        "open": {item.key: str(item.verdict) for item in found.items},
        "open_items": found.open_items,
    }


def _items(incident: Incident) -> list[ReconciledItem]:
    return incident.reconciliation.items if incident.reconciliation is not None else []


def _without(found: Reconciliation | None, keys: set[str]) -> Reconciliation | None:
    """As it is once these items are accepted."""
    assert found is not None
    items = [
        replace(item, resolution=Resolution.ACCEPTED) if item.key in keys else item
        for item in found.items
    ]
    left = found.open_items - len(keys)
    return replace(found, items=items, open_items=left, accepted=found.accepted + len(keys))
