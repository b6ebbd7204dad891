"""What is alerted about, from the incidents alone: a restart changes nothing. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from rollbackd.incidents.guardrails import LATCHING
from rollbackd.incidents.ledger import overdue
from rollbackd.model.decisions import Reason
from rollbackd.model.history import Latch
from rollbackd.model.incidents import Incident, State
from rollbackd.notifications.links import Links, rfc3339
from rollbackd.ports import Pause

#: How long what has no end of its own is alerted about.
LINGER_MS: Final = 15 * 60_000
_MAX_SCOPES: Final = 10
#: What the name of every alert of ours begins with.
_PREFIX: Final = "Rollbackd"

#: States that wait for a person.
_WAITING: Final = frozenset({State.NEEDS_HUMAN, State.AWAITING_APPROVAL})
#: Pages that an alert of another name says all along.
_STANDING: Final = LATCHING | {
    Reason.CORRELATED_TRIPS,
    Reason.MEASURE_OVERDUE,
    Reason.POINTER_DRIFTED,
}

#: The labels of an alert, sorted: its identity, as for Alertmanager.
Identity = tuple[tuple[str, str], ...]


class Severity(StrEnum):
    """How fast somebody should look."""

    #: Something waits for a person.
    CRITICAL = "critical"
    #: Somebody should know today.
    WARNING = "warning"
    #: For the record.
    INFO = "info"


class OwnAlert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of ours, with bounded labels; what changes is in the annotations."""

    labels: Identity
    since_ms: int
    summary: str
    reason: str
    incident_id: str = ""

    @property
    def name(self) -> str:
        """The `alertname`."""
        return dict(self.labels)["alertname"]


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A page whose cause is not to be seen in the incident itself."""

    incident: Incident
    reason: str
    at_ms: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """All that alerts follow from."""

    incidents: list[Incident] = []
    pause: Pause | None = None
    latches: list[Latch] = []
    troubles: list[Trouble] = []


def stands(incident: Incident, reason: str) -> bool:
    """Whether what a page is for is to be seen in the facts, for as long as it lasts."""
    if reason not in set(Reason):
        return False
    return reason in _STANDING or incident.state in _WAITING


def is_ours(labels: Mapping[str, str]) -> bool:
    """Whether an alert with these labels is about rollbackd, and not about what it looks after."""
    return labels.get("alertname", "").startswith(_PREFIX)


def standing_alerts(facts: Facts, now_ms: int) -> list[OwnAlert]:
    """Every alert that fires now, each once."""
    alerts = [
        *(alert for incident in facts.incidents for alert in _of_incident(incident, now_ms)),
        *_correlated(facts.incidents, now_ms),
        *_paused(facts.pause),
        *(_latched(latch) for latch in facts.latches if latch.holds),
        *(_trouble(each) for each in facts.troubles if now_ms - each.at_ms < LINGER_MS),
    ]
    return list({alert.labels: alert for alert in alerts}.values())


def identities_of(incident: Incident) -> list[Identity]:
    """Every alert that an incident may have raised; once it has ended, none of them fires."""
    return [_identity(name, incident) for name in _INCIDENT_ALERTS]


def is_correlated(incident: Incident, now_ms: int) -> bool:
    """Whether the incident stood down lately because many scopes tripped at once."""
    return (
        incident.state is State.OBSERVED
        and incident.reason is Reason.CORRELATED_TRIPS
        and now_ms - incident.opened_at_ms < LINGER_MS
    )


def render(alert: OwnAlert, links: Links, *, ends_at_ms: int) -> dict[str, object]:
    """An alert as `POST /api/v2/alerts` takes it (a `postableAlert` of its OpenAPI file)."""
    annotations = {
        "summary": alert.summary,
        "reason": alert.reason,
        "incident_url": links.incident(alert.incident_id),
        "runbook_url": links.runbook(alert.name),
    }
    rendered: dict[str, object] = {
        "labels": dict(alert.labels),
        "annotations": {key: text for key, text in annotations.items() if text},
        "startsAt": rfc3339(min(alert.since_ms, ends_at_ms)),
        "endsAt": rfc3339(ends_at_ms),
    }
    if url := links.incident(alert.incident_id):
        rendered["generatorURL"] = url
    return rendered


def _of_incident(incident: Incident, now_ms: int) -> Iterator[OwnAlert]:
    if not incident.is_open:
        return
    scope, branch, note = str(incident.scope), incident.branch, incident.note or incident.reason
    yield _incident_alert(
        "RollbackdIncidentOpen",
        incident,
        incident.opened_at_ms,
        f"{scope}: {branch} is being rolled back, {incident.state}",
        str(incident.reason),
    )
    if incident.state is State.NEEDS_HUMAN:
        yield _incident_alert(
            "RollbackdNeedsHuman",
            incident,
            incident.entered_at_ms,
            f"{scope}: a person has to decide, measures stay as they are",
            f"{incident.reason}: {note}",
        )
    if incident.state is State.AWAITING_APPROVAL:
        yield _incident_alert(
            "RollbackdAwaitingApproval",
            incident,
            incident.entered_at_ms,
            f"{scope}: {branch} waits for approval before its first act",
            f"{incident.reason}: {note}",
        )
    late = overdue(incident, now_ms)
    if late:
        targets = ", ".join(str(measure.change.target) for measure in late)
        yield _incident_alert(
            "RollbackdMeasureOverdue",
            incident,
            min(measure.deadline_ms for measure in late),
            f"{scope}: a temporary measure is past its deadline and still in force",
            f"{Reason.MEASURE_OVERDUE}: {targets}",
        )
    if incident.reasserts or incident.reason is Reason.POINTER_DRIFTED:
        yield _incident_alert(
            "RollbackdPointerDrifted",
            incident,
            incident.flipped_at_ms or incident.opened_at_ms,
            f"{scope}: somebody moves the pointer back while the incident is open",
            f"{Reason.POINTER_DRIFTED}: flipped again {incident.reasserts} times",
        )


def _correlated(incidents: Iterable[Incident], now_ms: int) -> Iterator[OwnAlert]:
    tripped = [incident for incident in incidents if is_correlated(incident, now_ms)]
    if not tripped:
        return
    scopes = sorted({str(incident.scope) for incident in tripped})
    shown = ", ".join(scopes[:_MAX_SCOPES]) + (", ..." if len(scopes) > _MAX_SCOPES else "")
    yield OwnAlert(
        labels=_labels(alertname="RollbackdCorrelatedTrips", severity=Severity.CRITICAL),
        since_ms=min(incident.opened_at_ms for incident in tripped),
        summary=f"{len(scopes)} scopes tripped at once: none was acted on, look for one cause",
        reason=f"{Reason.CORRELATED_TRIPS}: {shown}",
    )


def _paused(pause: Pause | None) -> Iterator[OwnAlert]:
    if pause is not None:
        yield OwnAlert(
            labels=_labels(alertname="RollbackdPaused", severity=Severity.WARNING),
            since_ms=pause.since_ms,
            summary=f"rollbackd opens no incident: paused by {pause.by}",
            reason=pause.reason,
        )


def _latched(latch: Latch) -> OwnAlert:
    scope = latch.scope
    branch = {"branch": latch.branch} if latch.branch else {}
    what = f"{latch.branch} is" if latch.branch else "every branch is"
    return OwnAlert(
        labels=_labels(
            alertname="RollbackdLatched",
            severity=Severity.CRITICAL,
            service=scope.service,
            region=scope.region,
            **branch,
        ),
        since_ms=latch.since_ms,
        summary=f"{scope}: {what} held until a person resets it",
        reason=f"{latch.reason}: {latch.because}" if latch.because else str(latch.reason),
    )


def _trouble(trouble: Trouble) -> OwnAlert:
    summary = f"{trouble.incident.scope}: rollbackd needs a person to look at an incident"
    return _incident_alert(
        "RollbackdTrouble", trouble.incident, trouble.at_ms, summary, trouble.reason
    )


def _incident_alert(
    name: str, incident: Incident, since_ms: int, summary: str, reason: str
) -> OwnAlert:
    return OwnAlert(
        labels=_identity(name, incident),
        since_ms=since_ms,
        summary=summary,
        reason=reason,
        incident_id=incident.id,
    )


def _identity(name: str, incident: Incident) -> Identity:
    return _labels(
        alertname=name,
        severity=_INCIDENT_ALERTS[name],
        incident=incident.id,
        service=incident.scope.service,
        region=incident.scope.region,
        branch=incident.branch,
    )


def _labels(**labels: str) -> Identity:
    return tuple(sorted((name, str(value)) for name, value in labels.items()))


_INCIDENT_ALERTS: Final = {
    "RollbackdIncidentOpen": Severity.INFO,
    "RollbackdNeedsHuman": Severity.CRITICAL,
    "RollbackdAwaitingApproval": Severity.CRITICAL,
    "RollbackdMeasureOverdue": Severity.CRITICAL,
    "RollbackdPointerDrifted": Severity.WARNING,
    "RollbackdTrouble": Severity.CRITICAL,
}
