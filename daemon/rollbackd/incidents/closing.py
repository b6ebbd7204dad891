"""The root cause, filed by a person after the incident has ended (requirements A5). Pure."""

from typing import Final

from msgspec.structs import replace

from rollbackd.incidents.chain import chain
from rollbackd.model.incidents import Incident, JournalRecord, RootCause

#: The classes of the post-mortem page of the runbook.
CAUSE_CLASSES: Final = (
    "pin_drift",
    "index_swap_error",
    "cache_namespace_bug",
    "idempotency_missing",
    "load_controls_weak",
    "boot_ordering",
    "prompt_regression",
    "other",
)


def file_root_cause(incident: Incident, cause: RootCause) -> tuple[Incident, JournalRecord]:
    """The incident with its root cause, and the journal record of it.

    It ends no incident and moves no state; a second filing replaces the first, and the journal
    keeps both. Raises ValueError for an open incident, an empty field or an unknown class.
    """
    if incident.is_open:
        raise ValueError(
            f"incident `{incident.id}` is open ({incident.state}); its root cause is filed when it"
            " has ended"
        )
    fields = {
        "cause": cause.cause_class,
        "summary": cause.summary,
        "owner": cause.owner,
        "link": cause.link,
    }
    if empty := [f"`{name}`" for name, value in fields.items() if not value.strip()]:
        raise ValueError(f"not closed: {', '.join(empty)} must not be empty")
    if cause.cause_class not in CAUSE_CLASSES:
        raise ValueError(
            f"not closed: cause `{cause.cause_class}` is not known; it must be one of"
            f" {', '.join(CAUSE_CLASSES)}"
        )
    after = replace(incident, root_cause=cause, version=incident.version + 1)
    record = JournalRecord(
        incident_id=incident.id,
        sequence=after.version,
        at_ms=cause.filed_at_ms,
        kind="RootCauseFiled",
        from_state=incident.state,
        to_state=incident.state,
        reason=incident.reason,
        detail={**fields, "by": cause.by},
    )
    return chain(after, record)
