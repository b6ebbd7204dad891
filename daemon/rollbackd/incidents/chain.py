"""The hash chain over the journal of an incident: who changes a record breaks what follows it.

`audit_hash` is "sha256:" and the SHA-256 over the canonical JSON of the record (without
`audit_hash` and without members that are empty) followed by the `audit_hash` of the record before
it; the first record follows an empty text. The hash of the newest record is the incident's
`chain_head`, so records that are missing at the end are found too. A bare chain does not stop who
can write the whole store: keep heads elsewhere as well (the log and the report carry them).
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from rollbackd.documents.canonical_json import canonical_json
from rollbackd.model.incidents import Incident, JournalRecord

_HASH: Final = "audit_hash"


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """The first record that does not fit."""

    #: Its place in the journal, from 1; one past the end when records are missing there.
    position: int
    #: Its `sequence`; None when it is not there.
    sequence: int | None
    because: str

    @property
    def headline(self) -> str:
        """The break in one line."""
        if self.sequence is None:
            return f"record {self.position}: {self.because}"
        return f"record {self.position} (sequence {self.sequence}): {self.because}"


def chain(incident: Incident, record: JournalRecord) -> tuple[Incident, JournalRecord]:
    """The record as the next one of the incident's chain, and the incident with the new head."""
    sealed = hash_of(msgspec.to_builtins(record), incident.chain_head)
    return (
        msgspec.structs.replace(incident, chain_head=sealed),
        msgspec.structs.replace(record, audit_hash=sealed),
    )


def hash_of(record: Mapping[str, Any], previous: str) -> str:
    """The `audit_hash` of a record, as JSON data, that follows another.

    Empty members are left out, so that a later version that knows more of them still agrees.
    """
    kept = {k: v for k, v in record.items() if k != _HASH and v not in (None, "", {}, [])}
    return "sha256:" + hashlib.sha256(canonical_json(kept) + previous.encode()).hexdigest()


def first_break(records: Sequence[Mapping[str, Any]], head: str) -> Break | None:
    """The first record, as JSON data, that was edited, removed or put elsewhere; or None.

    Records from before there was a chain have no hash; they may only stand at the beginning.
    """
    previous = ""
    for index, record in enumerate(records):
        stored = str(record.get(_HASH) or "")
        if not stored and not previous:
            continue
        if stored != hash_of(record, previous):
            return Break(
                position=index + 1,
                sequence=record.get("sequence"),
                because=_why(records, index, previous),
            )
        previous = stored
    if previous != head:
        return Break(
            position=len(records) + 1,
            sequence=None,
            because="the journal ends before the head of its chain: records at its end are missing",
        )
    return None


def unchained(records: Sequence[Mapping[str, Any]]) -> int:
    """How many records at the beginning have no hash."""
    return next((n for n, record in enumerate(records) if record.get(_HASH)), len(records))


def _why(records: Sequence[Mapping[str, Any]], index: int, previous: str) -> str:
    record = records[index]
    stored = record.get(_HASH)
    if not stored:
        return "it has no hash, and the one before it has: it was edited"
    for place, other in enumerate(records):
        if other.get(_HASH) and place != index - 1 and hash_of(record, other[_HASH]) == stored:
            return f"it belongs behind record {place + 1}: the records are out of order"
    if previous and hash_of(record, "") == stored:
        return "it belongs at the beginning: the records are out of order"
    before = records[index - 1].get("to_state") if index else None
    if record.get("from_state") != before:
        return "it does not follow from the one before it: a record between them was removed"
    return "its hash does not match: it was edited, or a record before it was removed"
