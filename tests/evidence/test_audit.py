"""The audit once everything was given back."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.evidence import audit as auditing
from rollbackd.evidence.audit import IncidentAuditor
from rollbackd.evidence.pins import PinsTable
from rollbackd.model.controls import Control
from rollbackd.model.incidents import AuditCheck, Incident, JournalRecord, MeasureStatus, State
from rollbackd.model.labels import Scope
from rollbackd.model.levers import LeverKind
from rollbackd.ports import Lever
from rollbackd.telemetry import Telemetry
from tests.incidents.fake_lever import FakeLever, raises
from tests.incidents.samples import SCOPE, evidence_of, opened
from tests.incidents.walking import Walk


def walked() -> Walk:
    """To where an incident is to be audited; its flag was moved by the walk."""
    walk = Walk(replace(opened(), chain_head=""))
    walk.to(State.AUDITING)
    return walk


def audited() -> Incident:
    """The incident of it."""
    return walked().incident


class NoControls:
    """A scope of which nothing was ever written."""

    async def read_all(self, scope: Scope) -> dict[str, Control]:  # noqa: ARG002
        return {}


class Journal:
    """A store of which only the journal is asked."""

    def __init__(self) -> None:
        self.records = walked().records
        self.faults: list[Callable[[], Any]] = []

    async def journal(self, _incident_id: str) -> list[JournalRecord]:
        if self.faults:
            await self.faults.pop(0)()
        return self.records


class Audit:
    """An auditor with a flag lever that stands as it was set."""

    def __init__(self) -> None:
        self.flag = FakeLever()
        self.flag.value = {"is": 2}
        self.cache = FakeLever(LeverKind.FORWARD)
        self.cache.value = {"is": 2}
        self.measure = FakeLever(LeverKind.TEMPORARY)
        self.levers: dict[str, Lever] = {
            "flag_off": self.flag,
            "cache_rotate": self.cache,
            "write_block": self.measure,
            "throttle": self.measure,
        }
        self.journal = Journal()
        store: Any = self.journal
        controls: Any = NoControls()
        self.pins = PinsTable(Telemetry(CollectorRegistry()))
        self.auditor = IncidentAuditor(self.levers, store, controls, self.pins)

    async def failed(self, incident: Incident) -> dict[str, str]:
        return {c.name: c.detail for c in await self.auditor.audit(incident) if not c.passed}


async def test_an_incident_that_went_well_passes() -> None:
    """Evidence, measures, and each target that is meant to stay; measures are not read again."""
    audit = Audit()
    checks = await audit.auditor.audit(audited())
    assert [(check.name, check.passed) for check in checks] == [
        ("evidence_is_whole", True),
        ("measures_are_given_back", True),
        ("cache_was_rotated", True),
        ("journal_chain", True),
        ("state_hash", True),
        ("pins_in_requests", True),
        ("flag_off_stands", True),
        ("cache_rotate_stands", True),
    ]
    assert checks[1] == AuditCheck(
        name="measures_are_given_back", passed=True, detail="2 given back"
    )
    assert audit.measure.calls["verify"] == 0


async def test_a_flip_without_its_rotation_is_found() -> None:
    """F1: what the bad version cached is still served."""
    owing = replace(audited(), rotation_owed=True)
    found = (await Audit().failed(owing))["cache_was_rotated"]
    assert found == "a pointer was flipped and no rotation followed"


@pytest.mark.parametrize("evidence", [None, replace(evidence_of(), captured_at_ms=1)])
async def test_without_whole_evidence_it_fails(evidence: object) -> None:
    """None, or one that was changed after its digest was made (F5)."""
    incident = replace(audited(), evidence=evidence)
    failed = await Audit().failed(incident)
    assert failed == {"evidence_is_whole": "missing, or its digest does not match"}


async def test_a_measure_still_in_force_fails() -> None:
    """F4, by name."""
    incident = audited()
    ledger = [replace(incident.ledger[0], status=MeasureStatus.TAKEN), *incident.ledger[1:]]
    failed = await Audit().failed(replace(incident, ledger=ledger))
    assert failed == {"measures_are_given_back": "write_block@rag/eu-1 is still in force"}


async def test_a_measure_left_alone_is_told_and_passes() -> None:
    """Somebody else's value is theirs to take away."""
    incident = audited()
    ledger = [replace(each, status=MeasureStatus.LEFT_ALONE) for each in incident.ledger[:1]]
    (check,) = [
        check
        for check in await Audit().auditor.audit(replace(incident, ledger=ledger))
        if check.name == "measures_are_given_back"
    ]
    assert check.passed
    assert check.detail == "write_block@rag/eu-1 was moved by somebody else and left alone"


async def test_a_pointer_that_moved_on_fails() -> None:
    """A rollback that somebody undid is not closed in silence."""
    audit = Audit()
    audit.flag.value = {"is": 3}
    failed = await audit.failed(audited())
    assert failed == {"flag_off_stands": "flag_off:canary@rag/eu-1 is no longer as it was set"}


async def test_a_check_that_cannot_run_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """For good, or for longer than it is waited for."""
    monkeypatch.setattr(auditing, "DEADLINE_SECONDS", 0.03)
    audit = Audit()
    audit.flag.faults["verify"] = [raises(PermanentError("403"))]
    audit.cache.faults["verify"] = [asyncio.Event().wait]
    failed = await audit.failed(audited())
    assert failed == {"flag_off_stands": "403", "cache_rotate_stands": "no answer within 0.03 s"}


async def test_a_journal_that_was_touched_fails() -> None:
    """The record is named."""
    audit = Audit()
    del audit.journal.records[2]
    failed = await audit.failed(audited())
    assert list(failed) == ["journal_chain"]
    assert failed["journal_chain"].startswith("record 3 (sequence 5)")


async def test_a_journal_that_cannot_be_read_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is down for a moment is waited for."""
    monkeypatch.setattr(auditing, "DEADLINE_SECONDS", 0.03)
    audit = Audit()
    audit.journal.faults = [raises(PermanentError("corrupt")), asyncio.Event().wait]
    assert await audit.failed(audited()) == {"journal_chain": "corrupt"}
    assert await audit.failed(audited()) == {"journal_chain": "no answer within 0.03 s"}
    audit.journal.faults = [raises(TemporaryError("locked", delay_ms=1))]
    assert await audit.failed(audited()) == {}


async def test_a_short_outage_is_waited_out() -> None:
    """It says nothing about the target."""
    audit = Audit()
    audit.flag.faults["verify"] = [raises(TemporaryError("refused", delay_ms=1))] * 3
    assert await audit.failed(audited()) == {}


async def test_a_store_that_asks_for_no_delay_is_not_asked_without_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until the deadline there is time for a hundred thousand questions."""
    monkeypatch.setattr(auditing, "DEADLINE_SECONDS", 0.1)
    audit = Audit()
    asked = 0

    async def down() -> None:
        nonlocal asked
        asked += 1
        raise TemporaryError("locked", delay_ms=0)

    audit.journal.faults = [down] * 1_000
    assert list(await audit.failed(audited())) == ["journal_chain"]
    assert asked <= 11


async def test_only_the_last_act_on_a_target_is_checked() -> None:
    """An earlier one was meant to be moved again."""
    incident = audited()
    flag = next(r for r in incident.receipts if r.target.lever == "flag_off")
    again = replace(flag, after={"is": 2})
    incident = replace(
        incident, receipts=[replace(flag, after={"is": 1}), *incident.receipts, again]
    )
    assert await Audit().failed(incident) == {}


async def test_a_pointer_whose_lever_is_gone_cannot_be_vouched_for() -> None:
    """The levers file has lost it during the hold: a check that cannot run has failed."""
    audit = Audit()
    del audit.levers["flag_off"]
    failed = await audit.failed(audited())
    assert failed == {
        "flag_off_stands": f"flag_off:canary@{SCOPE}: the levers file has no such lever now"
    }


async def test_a_measure_is_not_expected_to_stand() -> None:
    """Also when its lever is gone."""
    audit = Audit()
    del audit.levers["write_block"]
    assert await audit.failed(audited()) == {}


async def test_readers_that_never_follow_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only that there was no answer: what they said all the time."""
    monkeypatch.setattr(auditing, "DEADLINE_SECONDS", 0.03)
    audit = Audit()
    said = TemporaryError("SDKs are told `on: true`", delay_ms=10)
    audit.flag.faults["verify"] = [raises(said)] * 99
    failed = await audit.failed(audited())
    assert failed == {"flag_off_stands": "no answer within 0.03 s: SDKs are told `on: true`"}
