"""The pins that changed decide between branches when the symptoms fit two (K8)."""

import pytest
from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.choosing import fitting_branch
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, State
from rollbackd.model.policy import Approval
from tests.incidents.samples import PINS, evidence_of, opened, policy_of, trigger_of
from tests.incidents.walking import Answer, Walk

S = State


def sees(*changed: str) -> Answer:
    canary = {**PINS, **dict.fromkeys(changed, "bad")}
    evidence = replace(
        evidence_of({"canary": canary}), known_good_pins={**PINS, "EMBED_DIM": "768"}
    )

    def answer(command: m.Command) -> m.Event | None:
        return m.Captured(evidence=evidence) if isinstance(command, m.CaptureEvidence) else None

    return answer


@pytest.mark.parametrize(
    ("branch", "changed", "goes_on"),
    [
        ("quality_regression", ["PROMPT_VER"], "quality_regression"),
        ("quality_regression", ["INDEX_HASH"], "quality_regression"),
        ("quality_regression", ["EMBED_DIM"], "retriever_mismatch"),
        ("quality_regression", ["EMBED_DIM", "PROMPT_VER"], "quality_regression"),
        ("retriever_mismatch", ["PROMPT_VER"], "quality_regression"),
        ("retriever_mismatch", ["INDEX_HASH"], "retriever_mismatch"),
        ("retriever_mismatch", ["GIT_SHA"], "retriever_mismatch"),
        ("retriever_mismatch", [], "retriever_mismatch"),
        ("duplicate_effects", ["INDEX_HASH"], "duplicate_effects"),
    ],
)
def test_what_changed_picks_the_branch(branch: str, changed: list[str], goes_on: str) -> None:
    """Only where no lever of the own branch names a pin that changed and one of the other does."""
    walk = Walk(opened(branch), sees(*changed))
    walk.to(S.FREEZING)
    assert walk.incident.branch == goes_on
    assert walk.to(S.CLOSED).branch == goes_on


def test_the_change_of_branch_is_journaled() -> None:
    """With the reason, and what it rests on."""
    walk = Walk(opened("retriever_mismatch"), sees("PROMPT_VER"))
    walk.to(S.FREEZING)
    record = walk.records[-1]
    assert record.reason is Reason.PIN_DIFF_DECIDED
    assert (record.detail["from"], record.detail["to"]) == (
        "retriever_mismatch",
        "quality_regression",
    )
    assert "PROMPT_VER" in str(record.detail["because"])
    assert walk.incident.branches_left == ["retriever_mismatch"]


def test_a_branch_that_only_observes_is_not_switched_to() -> None:
    """Shadow mode does not act through another branch's symptoms."""
    policy = policy_of("retriever_mismatch")
    watching = [replace(each, mode="observe") for each in policy.shares_symptoms_with]
    policy = replace(policy, shares_symptoms_with=watching)
    assert fitting_branch(policy, frozenset({"PROMPT_VER"})) is policy


def test_the_other_branch_asks_first_where_it_does() -> None:
    """Its approval is not lost on the way."""
    policy = policy_of("retriever_mismatch")
    asking = [replace(each, approval=Approval()) for each in policy.shares_symptoms_with]
    walk = Walk(opened(policy=replace(policy, shares_symptoms_with=asking)), sees("PROMPT_VER"))
    walk.to(S.AWAITING_APPROVAL)
    assert walk.incident.branch == "quality_regression"
    walk.say(m.Decided(decision="approve", by="eve"))
    assert walk.incident.state is S.FREEZING


def joined(branch: str) -> m.TriggerJoined:
    return m.TriggerJoined(trigger=trigger_of(branch), policy=policy_of(branch))


@pytest.mark.parametrize(
    ("changed", "branch"),
    [("PROMPT_VER", "quality_regression"), ("EMBED_DIM", "retriever_mismatch")],
)
def test_a_takeover_asks_the_pins_too(changed: str, branch: str) -> None:
    """Both branches fire: the higher one does not win over the pins."""
    policy = replace(policy_of("quality_regression"), shares_symptoms_with=[])
    walk = Walk(opened(policy=policy), sees(changed))
    walk.to(S.WATCHING)
    walk.say(joined("retriever_mismatch"))
    walk.turn()
    assert walk.incident.branch == branch
    assert walk.incident.preempted_by is None
    assert walk.to(S.CLOSED).branch == branch


def test_a_switch_to_a_higher_branch_does_not_take_itself_over() -> None:
    """The branch that wanted to take over is the one that it goes on under."""
    walk = Walk(opened("quality_regression"), sees("EMBED_DIM"))
    walk.to(S.CAPTURING)
    walk.say(joined("retriever_mismatch"))
    walk.to(S.CLOSED)
    assert walk.states.count(S.FREEZING) == 1


def test_a_reload_does_not_change_what_an_open_incident_may_switch_to() -> None:
    """It carries the other branch whole."""
    incident: Incident = opened("retriever_mismatch")
    assert [each.branch for each in incident.policy.shares_symptoms_with] == ["quality_regression"]
    assert incident.policy.shares_symptoms_with[0].levers
    assert incident.policy.shares_symptoms_with[0].shares_symptoms_with == []
