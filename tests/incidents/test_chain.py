"""The hash chain over the journal, and what it finds."""

import hashlib
from typing import Any

import msgspec
import pytest

from rollbackd.incidents.chain import first_break, hash_of, unchained
from rollbackd.model.incidents import JournalRecord, State
from rollbackd.stores.records import decode, encode
from tests.evidence.drift import drift_incident
from tests.incidents.samples import opened
from tests.incidents.walking import Walk

#: What the hash of one record is over. Another text would orphan every journal that there is.
_TEXT = (
    b'{"at_ms":1790000000000,"detail":{"rule":"QualityDrift","value":0.15},"incident_id":"INC-1",'
    b'"kind":"Opened","reason":"trigger_fired","sequence":1,"to_state":"detected"}'
)


def journal() -> tuple[list[dict[str, Any]], str]:
    incident, records = drift_incident()
    return [msgspec.to_builtins(record) for record in records], incident.chain_head


def test_a_journal_that_nobody_touched_fits() -> None:
    """From the first record to the head."""
    records, head = journal()
    assert records[0]["kind"] == "Opened"
    assert records[-1]["audit_hash"] == head
    assert len({record["audit_hash"] for record in records}) == len(records)
    assert first_break(records, head) is None


def test_it_still_fits_after_the_store() -> None:
    """Also with numbers that JSON cannot say."""
    walk = Walk(msgspec.structs.replace(opened(), chain_head=""))
    walk.to(State.WATCHING)
    stored = [decode(encode(record), JournalRecord) for record in walk.records]
    assert first_break([msgspec.to_builtins(r) for r in stored], walk.incident.chain_head) is None
    odd = msgspec.structs.replace(walk.records[0], detail={"value": float("nan"), "n": 5.0})
    again = decode(encode(odd), JournalRecord)
    assert hash_of(msgspec.to_builtins(again), "") == hash_of(msgspec.to_builtins(odd), "")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reason", "aborted"), ("detail", {}), ("at_ms", 1), ("kind", "x"), ("to_state", "closed"),
        ("sequence", 99), ("incident_id", "INC-8"), ("audit_hash", "sha256:00"), ("new", 1),
    ],
)  # fmt: skip
def test_an_edited_record_is_named(field: str, value: Any) -> None:
    """Whatever was edited in it, also a field that nobody knows."""
    records, head = journal()
    records[4][field] = value
    found = first_break(records, head)
    assert found is not None
    assert found.position == 5
    assert "edited" in found.because


def test_a_hash_that_was_taken_away_is_an_edit() -> None:
    """Not a record from before there was a chain."""
    records, head = journal()
    records[4]["audit_hash"] = ""
    found = first_break(records, head)
    assert found is not None
    assert found.headline.startswith("record 5 (sequence 5): it has no hash")


@pytest.mark.parametrize("place", [1, 5, 9])
def test_a_removed_record_is_noticed_at_the_next_one(place: int) -> None:
    """By the hash, and where states do not follow on each other by name."""
    records, head = journal()
    del records[place]
    found = first_break(records, head)
    assert found is not None
    assert found.position == place + 1
    assert "removed" in found.because


def test_records_missing_at_the_beginning_are_noticed() -> None:
    """The first that is left follows something."""
    records, head = journal()
    found = first_break(records[1:], head)
    assert found is not None
    assert found.position == 1
    assert "removed" in found.because


def test_records_missing_at_the_end_are_noticed() -> None:
    """The incident knows the head."""
    records, head = journal()
    found = first_break(records[:-2], head)
    assert found is not None
    assert (found.position, found.sequence) == (len(records) - 1, None)
    assert "missing" in found.headline
    assert first_break([], head) is not None


@pytest.mark.parametrize("places", [(3, 4), (0, 1), (7, 12)])
def test_records_out_of_order_are_noticed(places: tuple[int, int]) -> None:
    """The first that stands where it does not belong is named."""
    records, head = journal()
    one, other = places
    records[one], records[other] = records[other], records[one]
    found = first_break(records, head)
    assert found is not None
    assert found.position == one + 1
    assert "out of order" in found.because


def test_records_from_before_there_was_a_chain_may_come_first() -> None:
    """They prove nothing, and they are counted; a journal of nothing else has no head."""
    records, _ = journal()
    old = [{**record, "audit_hash": ""} for record in records[:3]]
    assert first_break(old, "") is None
    assert unchained(old) == 3
    first = {**records[3], "audit_hash": hash_of(records[3], "")}
    assert first_break([*old, first], first["audit_hash"]) is None
    assert unchained([*old, first]) == 3
    assert first_break([], "") is None


def test_the_hash_of_a_record_stays_what_it_is() -> None:
    """A field that a later version adds, and that is empty, changes nothing."""
    record = msgspec.to_builtins(
        JournalRecord(
            incident_id="INC-1", sequence=1, at_ms=1_790_000_000_000, kind="Opened",
            from_state=None, to_state=State.DETECTED, reason=opened().reason,
            detail={"rule": "QualityDrift", "value": 0.15},
        )
    )  # fmt: skip
    assert hash_of(record, "") == hash_of({**record, "added": None, "more": []}, "")
    assert hash_of(record, "") == "sha256:" + hashlib.sha256(_TEXT).hexdigest()
    after = hashlib.sha256(_TEXT + b"sha256:00").hexdigest()
    assert hash_of(record, "sha256:00") == f"sha256:{after}"
