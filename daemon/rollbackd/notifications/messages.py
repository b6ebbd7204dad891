"""What a webhook is sent: one JSON document a message, described in docs/notifications.md. Pure."""

import hashlib

import msgspec
import orjson

from rollbackd.model.events import KnownGood
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.notifications.links import Links, rfc3339
from rollbackd.settings import Occasion


class Message(msgspec.Struct, frozen=True):
    """A rendered message; `id` is the same when it is sent again, also after a restart."""

    id: str
    body: bytes


def page_message(incident: Incident, reason: str, links: Links, now_ms: int) -> Message:
    """A person is needed."""
    # What brought it about, and not when it was sent, makes the id.
    cause = f"{incident.id}|{incident.state}|{incident.entered_at_ms}|{reason}"
    message_id = f"page-{hashlib.sha256(cause.encode()).hexdigest()[:16]}"
    text = f"{incident.scope}: a person is needed, {incident.state}: {reason}"
    envelope = _envelope(message_id, Occasion.PAGE, text, reason, now_ms)
    return Message(message_id, as_json({**envelope, "incident": subject(incident, links)}))


def decision_message(incident: Incident, record: JournalRecord, links: Links) -> Message:
    """A record was written to an incident's journal."""
    text = f"{incident.scope}: {record.from_state or 'new'} => {record.to_state}: {record.reason}"
    envelope = _envelope(event_id(record), Occasion.DECISION, text, record.reason, record.at_ms)
    document = {
        **envelope,
        "incident": subject(incident, links),
        "decision": decision(record),
    }
    return Message(event_id(record), as_json(document))


def known_good_message(known_good: KnownGood) -> Message:
    """A known good set was recorded, promoted or retired."""
    message_id = f"{known_good.id}-{known_good.status}-{known_good.status_at_ms}"
    who = known_good.status_by or known_good.by
    text = f"{known_good.scope}: {known_good.id} is {known_good.status}, says {who}"
    at_ms = known_good.status_at_ms or known_good.recorded_at_ms
    envelope = _envelope(message_id, Occasion.KNOWN_GOOD, text, known_good.status, at_ms)
    about = {
        "id": known_good.id,
        "service": known_good.scope.service,
        "region": known_good.scope.region,
        "status": known_good.status,
        "by": who,
        "note": known_good.note,
        "pins": known_good.pins,
        "recorded_at": rfc3339(known_good.recorded_at_ms),
    }
    return Message(message_id, as_json({**envelope, "set": about}))


def event_id(record: JournalRecord) -> str:
    """`<incident>/<sequence>`: the same for a record wherever and whenever it is sent."""
    return f"{record.incident_id}/{record.sequence}"


def decision(record: JournalRecord) -> dict[str, object]:
    """A journal record as JSON."""
    return {
        "sequence": record.sequence,
        "at": rfc3339(record.at_ms),
        "event": record.kind,
        "from_state": record.from_state,
        "to_state": record.to_state,
        "reason": record.reason,
        "detail": record.detail,
        "audit_hash": record.audit_hash,
    }


def subject(incident: Incident, links: Links) -> dict[str, object]:
    """The incident in short."""
    return {
        "id": incident.id,
        "service": incident.scope.service,
        "region": incident.scope.region,
        "branch": incident.branch,
        "state": incident.state,
        "reason": incident.reason,
        "note": incident.note,
        "opened_at": rfc3339(incident.opened_at_ms),
        "url": links.incident(incident.id),
        "report_url": links.report(incident.id) if _has_report(incident) else "",
    }


def _has_report(incident: Incident) -> bool:
    """It is written when the incident waits for a person, and when it ends."""
    return incident.state is State.NEEDS_HUMAN or not incident.is_open


def as_json(document: object) -> bytes:
    """Compact JSON; what JSON has no word for is written as text."""
    return orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS)


def _envelope(
    message_id: str, kind: Occasion, text: str, reason: str, at_ms: int
) -> dict[str, object]:
    return {
        "version": "1",
        "id": message_id,
        "kind": kind,
        "at": rfc3339(at_ms),
        "text": text,
        "reason": reason,
    }
