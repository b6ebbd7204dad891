"""Alerts and incidents to store."""

import math

import msgspec

from rollbackd.model.decisions import Reason
from rollbackd.model.events import Alert, AlertStatus
from rollbackd.model.facts import ChangeEvent, ChangeKind
from rollbackd.model.incidents import Evidence, Incident, JournalRecord, State
from rollbackd.model.labels import Scope
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.triggers import RuleInstance, RuleState, TargetReading, Trigger, Verdict
from rollbackd.ports import InboxEntry

NOW = 1_790_000_000_000
DAY = 86_400_000
SCOPE = Scope("rag", "eu-1")


def alert_entry(
    fingerprint: str = "f1", status: str = "firing", *, starts: int = NOW, received: int = NOW
) -> InboxEntry:
    """One accepted alert; the key is derived as the webhook derives it, less the hash."""
    return InboxEntry(
        key=f"{fingerprint}-{starts}-{status}",
        alert=Alert(
            fingerprint=fingerprint,
            status=AlertStatus(status),
            starts_at_ms=starts,
            labels={"alertname": "QualityDrift", "service": "rag"},
        ),
        received_at_ms=received,
    )


def change(
    kind: str, milliseconds: int, *, scope: Scope = SCOPE, after: str = "docs_vB"
) -> ChangeEvent:
    """A change that many milliseconds after `NOW`."""
    return ChangeEvent(
        scope=scope,
        kind=ChangeKind(kind),
        subject="docs_live",
        time_ms=NOW + milliseconds,
        after=after,
    )


def new_incident(id_: str = "i1", scope: Scope = SCOPE, *, opened: int = NOW) -> Incident:
    """An incident at its first version."""
    return Incident(
        id=id_,
        scope=scope,
        branch="quality_regression",
        state=State.DETECTED,
        reason=Reason.TRIGGER_FIRED,
        version=1,
        epoch=7,
        policy=BranchPolicy(branch="quality_regression", priority=2),
        opened_at_ms=opened,
        entered_at_ms=opened,
    )


def stepped(incident: Incident, state: State = State.CAPTURING, *, note: str = "") -> Incident:
    """The incident one version on."""
    return msgspec.structs.replace(incident, version=incident.version + 1, state=state, note=note)


def record_of(incident: Incident, kind: str = "Stepped") -> JournalRecord:
    """The record of the step that led to this version."""
    return JournalRecord(
        incident_id=incident.id,
        sequence=incident.version,
        at_ms=NOW,
        kind=kind,
        from_state=State.DETECTED,
        to_state=incident.state,
        reason=incident.reason,
        detail={"version": incident.version, "nested": {"list": [1, 2.5, None, "x"]}},
    )


def odd_floats(incident: Incident) -> Incident:
    """The incident with every float that JSON does not know."""
    trigger = Trigger(
        rule="ErrorRatio",
        group="g",
        state=RuleState.FIRING,
        labels=(("alertname", "ErrorRatio"), ("service", "rag")),
        annotations={"summary": "nan"},
        value=math.inf,
        active_at_ms=NOW,
        evaluated_at_ms=NOW,
    )
    reading = TargetReading(
        name="errors", verdict=Verdict.RED, value=-math.inf, bound=0.1, direction="below"
    )
    return msgspec.structs.replace(
        incident,
        triggers=[trigger],
        evidence=Evidence(captured_at_ms=NOW, readings=[reading]),
    )


def rule_instance(
    region: str = "eu", state: str = "pending", *, seen: int = NOW, rule_id: str = "r1"
) -> RuleInstance:
    """One instance of a rule."""
    fired = NOW if state == "firing" else None
    return RuleInstance(
        rule_id=rule_id,
        rule="QualityDrift",
        group="g",
        labels=(("alertname", "QualityDrift"), ("region", region)),
        state=RuleState(state),
        active_at_ms=NOW - 60_000,
        fired_at_ms=fired,
        seen_at_ms=seen,
    )
