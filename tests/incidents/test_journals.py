"""What earlier versions have stored can be read, verified and gone on with."""

from typing import Final

import pytest

from rollbackd.incidents.chain import first_break
from rollbackd.incidents.states import check_transition
from rollbackd.incidents.step import next_command, step
from rollbackd.model.incidents import TERMINAL, Incident, JournalRecord, State
from tests.incidents.recordings import JOURNALS, Recording, recordings
from tests.incidents.samples import BRANCHES

_RECORDINGS: Final = dict(recordings())


@pytest.fixture(params=_RECORDINGS)
def recording(request: pytest.FixtureRequest) -> Recording:
    """One incident of one version."""
    return _RECORDINGS[request.param]


def test_every_version_has_each_branch_and_each_ending() -> None:
    """Also incidents that were open: a new version has to go on with them."""
    for version in JOURNALS.iterdir():
        kept = [found for path, found in _RECORDINGS.items() if path.startswith(version.name)]
        ends = [found.incidents()[-1] for found in kept]
        assert {end.branch for end in ends if end.state is State.CLOSED} == set(BRANCHES)
        assert {end.state for end in ends if not end.is_open} == TERMINAL
        assert {State.NEEDS_HUMAN, State.AWAITING_APPROVAL} <= {end.state for end in ends}


def test_the_chain_of_its_journal_verifies(recording: Recording) -> None:
    """From the first record to the head that the incident names, as it was stored."""
    assert first_break(recording.journal, recording.incidents()[-1].chain_head) is None


def test_its_journal_can_be_read(recording: Recording) -> None:
    """Every step of it is still legal."""
    records = recording.records()
    assert records[0].from_state is None
    for record in records[1:]:
        assert record.from_state is not None
        check_transition(record.from_state, record.to_state)


def test_there_is_a_next_command_wherever_it_stood(recording: Recording) -> None:
    """A version that takes over knows what to do."""
    for incident in recording.incidents():
        assert (next_command(incident) is not None) is incident.is_open


def test_the_same_events_lead_to_the_same_end(recording: Recording) -> None:
    """Every event still answers its command, and every step has the outcome that it had."""
    first, *_, last = [*recording.incidents()[:1], *recording.incidents()]
    incident, records = first, recording.records()[:1]
    for happened in recording.happened:
        incident, record = step(incident, happened.again(), happened.now_ms)
        records += [record] if record is not None else []
    assert [_told(each) for each in records] == [_told(each) for each in recording.records()]
    assert _come_to(incident) == _come_to(last)


def _told(record: JournalRecord) -> tuple[object, ...]:
    return record.sequence, record.kind, record.from_state, record.to_state, record.reason


def _come_to(incident: Incident) -> tuple[object, ...]:
    return (
        incident.state,
        incident.reason,
        incident.branch,
        incident.version,
        incident.pending,
        incident.receipts,
        [(measure.op_id, measure.status) for measure in incident.ledger],
        incident.flips,
        incident.hold,
    )
