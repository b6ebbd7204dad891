"""A freeze counts once it was read back and every probe of the branch has confirmed it (F2)."""

from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident


def in_force(incident: Incident, now_ms: int) -> Incident:
    """The fence was read back; the time for its confirmation runs from here."""
    return replace(incident, frozen_at_ms=now_ms, confirmations=[])


def freeze_stands(incident: Incident) -> bool:
    """Whether the branch freezes nothing, or its freeze is confirmed: only then may it flip."""
    freeze = incident.policy.freeze
    if freeze is None:
        return True
    said = incident.confirmations
    confirmed = len(said) == len(freeze.confirm) and all(each.confirmed for each in said)
    return incident.frozen_at_ms is not None and confirmed


def ask_probes(incident: Incident) -> m.Command:
    """Ask every probe; all of them each time, because what stood still may run again."""
    freeze = incident.policy.freeze
    assert freeze is not None
    return m.ConfirmFreeze(probes=freeze.confirm, again=bool(incident.confirmations))


def objection(incident: Incident, now_ms: int) -> Reason | None:
    """Why it cannot wait for a confirmation any longer, or None."""
    assert incident.frozen_at_ms is not None
    waited_ms = now_ms - incident.frozen_at_ms
    late = waited_ms >= incident.policy.confirm_freeze_ms
    return Reason.FREEZE_NOT_CONFIRMED if late else None


def told(incident: Incident, event: m.FreezeChecked, now_ms: int) -> Incident:
    """The incident with what the probes said; a clock that was set back does not stretch it."""
    assert incident.frozen_at_ms is not None
    missing = [each for each in event.confirmations if not each.confirmed]
    note = "; ".join(f"{each.probe}: {each.detail}" for each in missing)
    return replace(
        incident,
        confirmations=event.confirmations,
        frozen_at_ms=min(incident.frozen_at_ms, now_ms),
        note=note or incident.note,
    )
