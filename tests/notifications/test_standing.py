"""What is alerted about follows from the incidents."""

import pytest
from msgspec.structs import replace

from rollbackd.model.decisions import Reason
from rollbackd.model.history import Latch
from rollbackd.model.incidents import Incident, State
from rollbackd.model.labels import Scope
from rollbackd.notifications.links import Links
from rollbackd.notifications.standing import (
    LINGER_MS,
    Facts,
    OwnAlert,
    Trouble,
    identities_of,
    render,
    standing_alerts,
    stands,
)
from rollbackd.ports import Pause
from tests.notifications.samples import MINUTE, NOW, SCOPE, frozen, incident_in


def names(*incidents: Incident, now_ms: int = NOW) -> list[str]:
    return sorted(alert.name for alert in standing_alerts(Facts(incidents=list(incidents)), now_ms))


@pytest.mark.parametrize(
    ("incident", "expected"),
    [
        (incident_in(State.WATCHING), []),
        (incident_in(State.NEEDS_HUMAN), ["RollbackdNeedsHuman"]),
        (incident_in(State.AWAITING_APPROVAL), ["RollbackdAwaitingApproval"]),
        (incident_in(State.WATCHING, ledger=[frozen(NOW)]), ["RollbackdMeasureOverdue"]),
        (incident_in(State.WATCHING, ledger=[frozen(NOW + 1)]), []),
        (
            incident_in(State.NEEDS_HUMAN, ledger=[frozen(NOW - 1)]),
            ["RollbackdMeasureOverdue", "RollbackdNeedsHuman"],
        ),
        (incident_in(State.WATCHING, reasserts=1), ["RollbackdPointerDrifted"]),
        (
            incident_in(State.WATCHING, reason=Reason.POINTER_DRIFTED),
            ["RollbackdPointerDrifted"],
        ),
    ],
    ids=lambda value: value.state if isinstance(value, Incident) else ",".join(value) or "none",
)
def test_an_open_incident_is_known_and_what_is_wrong_with_it_too(
    incident: Incident, expected: list[str]
) -> None:
    assert names(incident) == sorted(["RollbackdIncidentOpen", *expected])


@pytest.mark.parametrize("state", [State.CLOSED, State.ABORTED, State.OBSERVED])
def test_an_incident_that_has_ended_raises_nothing(state: State) -> None:
    ended = incident_in(state, reasserts=1, ledger=[frozen(0)], closed_at_ms=NOW)
    assert names(ended) == []


def test_the_labels_are_bounded_and_the_rest_is_annotations() -> None:
    incident = incident_in(State.NEEDS_HUMAN, reason=Reason.NO_LEVER_LEFT, note="tried 2 levers")
    (alert,) = [
        a
        for a in standing_alerts(Facts(incidents=[incident]), NOW)
        if a.name == "RollbackdNeedsHuman"
    ]
    links = Links(public_url="https://rollbackd.example", runbook_url="docs/notifications.md")
    assert render(alert, links, ends_at_ms=NOW + MINUTE) == {
        "labels": {
            "alertname": "RollbackdNeedsHuman",
            "severity": "critical",
            "incident": "INC-1",
            "service": "rag",
            "region": "eu-1",
            "branch": "quality_regression",
        },
        "annotations": {
            "summary": "rag/eu-1: a person has to decide, measures stay as they are",
            "reason": "no_lever_left: tried 2 levers",
            "incident_url": "https://rollbackd.example/api/v1/incidents/INC-1",
            "runbook_url": "docs/notifications.md#rollbackdneedshuman",
        },
        "startsAt": "2026-09-21T14:12:20.000Z",
        "endsAt": "2026-09-21T14:14:20.000Z",
        "generatorURL": "https://rollbackd.example/api/v1/incidents/INC-1",
    }


def test_an_alert_never_starts_after_its_end() -> None:
    """Alertmanager refuses such a one."""
    (alert,) = standing_alerts(Facts(incidents=[incident_in()]), NOW)
    rendered = render(alert, Links(), ends_at_ms=alert.since_ms - 1)
    assert rendered["startsAt"] == rendered["endsAt"]
    assert "generatorURL" not in rendered


def test_many_scopes_that_trip_at_once_are_one_alert() -> None:
    tripped = [
        incident_in(
            State.OBSERVED,
            id_=f"INC-{n}",
            scope=Scope("rag", f"eu-{n:02}"),
            reason=Reason.CORRELATED_TRIPS,
            opened_at_ms=NOW - n,
        )
        for n in range(12)
    ]
    (alert,) = standing_alerts(Facts(incidents=tripped), NOW)
    assert dict(alert.labels) == {"alertname": "RollbackdCorrelatedTrips", "severity": "critical"}
    assert alert.summary.startswith("12 scopes")
    assert alert.reason.endswith("rag/eu-09, ...")
    assert alert.since_ms == NOW - 11
    assert names(*tripped, now_ms=NOW + LINGER_MS) == []


def test_a_pause_is_alerted_about_with_who_and_why() -> None:
    pause = Pause(reason="migration", by="eve", since_ms=NOW)
    (alert,) = standing_alerts(Facts(pause=pause), NOW)
    assert (alert.name, alert.reason) == ("RollbackdPaused", "migration")
    assert "eve" in alert.summary


def test_a_page_that_the_incident_does_not_show_lingers() -> None:
    trouble = Trouble(incident=incident_in(State.CLOSED), reason="the disk is full", at_ms=NOW)

    def found(now_ms: int) -> list[OwnAlert]:
        return standing_alerts(Facts(troubles=[trouble]), now_ms)

    assert [a.reason for a in found(NOW)] == ["the disk is full"]
    assert found(NOW + LINGER_MS) == []


def test_all_that_an_incident_may_raise_is_known() -> None:
    """Otherwise an alert of an incident that ended during an outage would never be resolved."""
    incident = incident_in(State.NEEDS_HUMAN, ledger=[frozen(0)], reasserts=1)
    waiting = incident_in(State.AWAITING_APPROVAL)
    trouble = Trouble(incident=incident, reason="x", at_ms=NOW)
    raised = {
        a.labels for a in standing_alerts(Facts(incidents=[incident], troubles=[trouble]), NOW)
    }
    raised |= {a.labels for a in standing_alerts(Facts(incidents=[waiting]), NOW)}
    assert set(identities_of(incident)) == raised


@pytest.mark.parametrize(
    ("branch", "said"), [("", "every branch is"), ("quality_regression", "quality_regression is")]
)
def test_a_latch_is_alerted_about_until_it_is_released(branch: str, said: str) -> None:
    latch = Latch(scope=SCOPE, branch=branch, reason=Reason.FLAP_LATCH, since_ms=NOW, because="4 x")
    (alert,) = standing_alerts(Facts(latches=[latch]), NOW)
    assert alert.name == "RollbackdLatched"
    assert dict(alert.labels).get("branch", "") == branch
    assert said in alert.summary
    assert alert.reason == "flap_latch: 4 x"
    released = replace(latch, released_at_ms=NOW)
    assert standing_alerts(Facts(latches=[released]), NOW) == []


@pytest.mark.parametrize(
    ("state", "reason", "expected"),
    [
        (State.NEEDS_HUMAN, Reason.NO_LEVER_LEFT, True),
        (State.AWAITING_APPROVAL, Reason.APPROVAL_NEEDED, True),
        (State.OBSERVED, Reason.FLAP_LATCH, True),
        (State.OBSERVED, Reason.CORRELATED_TRIPS, True),
        (State.WATCHING, Reason.MEASURE_OVERDUE, True),
        (State.ABORTED, Reason.OPERATOR_DECISION, False),
        (State.NEEDS_HUMAN, "the store does not answer", False),
    ],
)
def test_a_page_for_what_stands_is_no_alert_of_its_own(
    state: State, reason: str, *, expected: bool
) -> None:
    assert stands(incident_in(state), reason) is expected
