"""One incident in full, as the daemon answers with it."""

from typing import Any

import msgspec

from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import (
    AuditCheck,
    Evidence,
    Hold,
    Incident,
    JournalRecord,
    Measure,
    MeasureStatus,
    State,
)
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Change, Observation, Receipt, Target
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.triggers import RuleState, TargetReading, Trigger, Verdict
from rollbackd.ports import IncidentDetail

SCOPE = Scope("rag", "eu")
OPENED_MS = 1_763_841_600_000

_STEPS = [
    (None, State.DETECTED, 0, Reason.TRIGGER_FIRED),
    (State.DETECTED, State.CAPTURING, 10, Reason.TRIGGER_FIRED),
    (State.CAPTURING, State.FREEZING, 800, Reason.EVIDENCE_CAPTURED),
    (State.FREEZING, State.CHOOSING, 1_600, Reason.FREEZE_CONFIRMED),
    (State.CHOOSING, State.FLIPPING, 2_000, Reason.LEVER_CHOSEN),
    (State.FLIPPING, State.ROTATING, 2_800, Reason.FLIP_VERIFIED),
    (State.ROTATING, State.WATCHING, 3_500, Reason.CACHE_ROTATED),
]


def journal(incident_id: str = "inc-1") -> list[JournalRecord]:
    return [
        JournalRecord(
            incident_id=incident_id,
            sequence=number,
            at_ms=OPENED_MS + after,
            kind="Stepped",
            from_state=before,
            to_state=state,
            reason=reason,
        )
        for number, (before, state, after, reason) in enumerate(_STEPS)
    ]


def incident(**changes: Any) -> Incident:
    flag = Target(lever="flag_off", scope=SCOPE, name="canary")
    block = Target(lever="write_block", scope=SCOPE)
    whole = Incident(
        id="inc-1",
        scope=SCOPE,
        branch="quality_regression",
        state=State.WATCHING,
        reason=Reason.CACHE_ROTATED,
        version=7,
        epoch=1,
        policy=BranchPolicy(branch="quality_regression", priority=2),
        opened_at_ms=OPENED_MS,
        entered_at_ms=OPENED_MS + 3_500,
        flipped_at_ms=OPENED_MS + 2_800,
        triggers=[
            Trigger(
                rule="QualityDrift",
                group="when-to-pull",
                state=RuleState.FIRING,
                labels=(("service", "rag"),),
                annotations={"summary": "answers drift"},
                value=0.2131,
                active_at_ms=OPENED_MS,
                fired_at_ms=OPENED_MS,
                evaluated_at_ms=OPENED_MS,
            )
        ],
        evidence=Evidence(
            captured_at_ms=OPENED_MS + 800,
            pins_seen={"canary": {"PROMPT_VER": "p-13"}},
            known_good_pins={"PROMPT_VER": "p-12"},
        ),
        receipts=[
            Receipt(
                op_id="inc-1/1",
                target=flag,
                before={"canary_weight": 0.3},
                requested={"canary_weight": 0.0},
                after={"canary_weight": 0.0},
                version=2,
                epoch=1,
                started_at_ms=OPENED_MS + 2_000,
                sealed_at_ms=OPENED_MS + 2_800,
            )
        ],
        ledger=[
            Measure(
                op_id="inc-1/0",
                change=Change(
                    target=block,
                    before=Observation(value={"blocked": False}, version=0),
                    after={"blocked": True},
                ),
                deadline_ms=OPENED_MS + 1_800_000,
                status=MeasureStatus.TAKEN,
            )
        ],
        readings=[
            TargetReading(
                name="errors", verdict=Verdict.GREEN, value=0.0003, bound=0.005, direction="below"
            ),
            TargetReading(name="drift", verdict=Verdict.UNKNOWN, bound=0.1, direction="below"),
        ],
        hold=Hold(green_ms=378_000),
        audit=[AuditCheck(name="cache_rotated", passed=False, detail="generation did not grow")],
    )
    return msgspec.structs.replace(whole, **changes)


def detail(**changes: Any) -> IncidentDetail:
    return IncidentDetail(
        incident=incident(**changes), journal=journal(), report_path="/var/lib/x/report.md"
    )


def as_answer(value: object) -> Any:
    """As it comes over the wire."""
    return msgspec.to_builtins(value)
