"""From a trigger to an incident."""

import pytest

from rollbackd.incidents.opening import new_incident, scope_of
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import State
from rollbackd.model.labels import Scope, labels_of
from tests.incidents.samples import NOW, SCOPE, policy_of, trigger_of


@pytest.mark.parametrize(
    ("labels", "scope"),
    [
        ({"service": "rag", "region": "eu-1"}, Scope("rag", "eu-1")),
        ({"service": "rag"}, Scope("rag", "global")),
        ({"region": "eu-1"}, None),
        ({"service": "r/ag"}, None),
        ({"service": "rag", "region": "a b"}, None),
        ({"service": "rag\n"}, None),
        ({"service": ".."}, None),
        ({"service": "x" * 129}, None),
    ],
)
def test_the_labels_name_the_scope(labels: dict[str, str], scope: Scope | None) -> None:
    """A scope that cannot stand in a key or a path is none."""
    trigger = trigger_of(labels=labels_of(labels))
    assert scope_of(trigger, service_label="service", region_label="region") == scope


def test_the_labels_that_name_it_are_configurable() -> None:
    """Some call a service `job`."""
    trigger = trigger_of(labels=labels_of({"job": "rag", "dc": "eu-1"}))
    assert scope_of(trigger, service_label="job", region_label="dc") == SCOPE


def test_a_trigger_opens_an_incident() -> None:
    """With the trigger, its policy and a first record that says why."""
    policy, trigger = policy_of("quality_regression"), trigger_of()
    incident, record = new_incident(
        incident_id="i", scope=SCOPE, policy=policy, epoch=3, now_ms=NOW, trigger=trigger
    )
    assert (incident.state, incident.reason) == (State.DETECTED, Reason.TRIGGER_FIRED)
    assert (incident.version, incident.epoch, incident.policy) == (1, 3, policy)
    assert (record.kind, record.sequence, record.from_state) == ("Opened", 1, None)
    assert record.detail["rule"] == "quality_regression"
    assert incident.is_open
    assert not incident.acted


def test_a_person_opens_an_incident() -> None:
    """Without any trigger."""
    incident, record = new_incident(
        incident_id="i",
        scope=SCOPE,
        policy=policy_of("duplicate_effects"),
        epoch=3,
        now_ms=NOW,
        pulled_by="eve",
        note="a hunch",
    )
    assert incident.reason is Reason.PULLED_BY_OPERATOR
    assert record.detail == {"pulled_by": "eve", "note": "a hunch"}


def test_an_objection_only_observes() -> None:
    """It ends where it begins: nothing can be done on its behalf."""
    incident, record = new_incident(
        incident_id="i",
        scope=SCOPE,
        policy=policy_of("quality_regression"),
        epoch=0,
        now_ms=NOW,
        trigger=trigger_of(),
        objection=Reason.COOLDOWN,
    )
    assert (incident.state, record.reason) == (State.OBSERVED, Reason.COOLDOWN)
    assert incident.closed_at_ms == NOW
    assert not incident.is_open
