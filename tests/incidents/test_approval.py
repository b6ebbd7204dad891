"""A branch that asks a person first: yes, no, and nobody answers."""

import pytest
from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.step import next_command
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, MeasureStatus, State
from rollbackd.model.policy import Approval
from tests.incidents.samples import MINUTE, NOW, opened, policy_of, trigger_of
from tests.incidents.walking import Walk

S = State


def asking(otherwise: str = "stand_down", branch: str = "quality_regression") -> Incident:
    approval = Approval(within_ms=15 * MINUTE, otherwise=otherwise)
    return opened(branch, policy=policy_of(branch, approval=approval))


def said(word: str) -> m.Decided:
    return m.Decided(decision=word, by="eve")


def test_nothing_is_touched_before_a_person_says_yes() -> None:
    """It waits, however often it wakes up, and knows until when."""
    walk = Walk(asking())
    waiting = walk.to(S.AWAITING_APPROVAL)
    assert waiting.reason is Reason.APPROVAL_NEEDED
    for _ in range(10):
        walk.turn()
    assert walk.incident.state is S.AWAITING_APPROVAL
    assert not walk.incident.acted
    assert next_command(waiting) == m.AwaitPerson(until_ms=NOW + 15 * MINUTE)


def test_yes_goes_on_with_the_evidence() -> None:
    """And the incident remembers who said it."""
    walk = Walk(asking())
    walk.to(S.AWAITING_APPROVAL)
    record = walk.say(said("approve"))
    assert record is not None
    assert (record.to_state, record.reason) == (S.CAPTURING, Reason.APPROVED)
    assert walk.to(S.CLOSED).approved_by == "eve"


def test_no_ends_it_as_observed() -> None:
    """Nothing was touched, so there is nothing to give back."""
    walk = Walk(asking())
    walk.to(S.AWAITING_APPROVAL)
    walk.say(said("decline"))
    ended = walk.incident
    assert (ended.state, ended.reason) == (S.OBSERVED, Reason.DECLINED)
    assert ended.closed_at_ms == walk.now_ms
    assert not ended.acted


@pytest.mark.parametrize(("otherwise", "state"), [("stand_down", S.OBSERVED), ("act", S.CAPTURING)])
def test_nobody_answers_and_the_policy_decides(otherwise: str, state: State) -> None:
    """At the deadline, and not before."""
    walk = Walk(asking(otherwise))
    walk.to(S.AWAITING_APPROVAL)
    walk.now_ms = NOW + 15 * MINUTE - 1
    walk.say(m.Continued())
    assert walk.incident.state is S.AWAITING_APPROVAL
    walk.now_ms += 1
    walk.say(m.Continued())
    assert (walk.incident.state, walk.incident.reason) == (state, Reason.APPROVAL_EXPIRED)


def test_the_deadline_counts_over_a_restart() -> None:
    """From when it began to wait; the new owner does not start it again."""
    walk = Walk(asking())
    walk.to(S.AWAITING_APPROVAL)
    walk.now_ms += 14 * MINUTE
    walk.say(m.Resumed(epoch=99))
    assert next_command(walk.incident) == m.AwaitPerson(until_ms=NOW + 15 * MINUTE)


def test_who_pulls_by_hand_has_said_yes() -> None:
    """Asking the one who just asked for it would only cost time."""
    walk = Walk(replace(asking(), pulled_by="eve"))
    closed = walk.to(S.CLOSED)
    assert S.AWAITING_APPROVAL not in walk.states
    assert closed.approved_by == "eve"


@pytest.mark.parametrize("word", ["approve", "decline"])
def test_an_answer_that_nobody_asked_for_changes_nothing(word: str) -> None:
    """The journal says why it was refused."""
    walk = Walk(opened())
    walk.to(S.WATCHING)
    record = walk.say(said(word))
    assert record is not None
    assert "asks for no approval" in str(record.detail["refused"])
    assert walk.incident.state is S.WATCHING


def test_a_higher_branch_does_not_wait_for_the_answer_to_a_lower_one() -> None:
    """Effects double: the write block does not wait for a word on the canary."""
    walk = Walk(asking())
    walk.to(S.AWAITING_APPROVAL)
    higher = policy_of("duplicate_effects")
    walk.say(m.TriggerJoined(trigger=trigger_of("duplicate_effects"), policy=higher))
    walk.turn()
    assert (walk.incident.state, walk.incident.branch) == (S.CAPTURING, "duplicate_effects")
    walk.to(S.CLOSED)


def taken_over() -> Walk:
    """Limits are on, and a higher branch that asks first takes over."""
    walk = Walk(opened("cost_or_latency"))
    walk.to(S.WATCHING)
    policy = policy_of("duplicate_effects", approval=Approval(within_ms=MINUTE))
    walk.say(m.TriggerJoined(trigger=trigger_of("duplicate_effects"), policy=policy))
    walk.to(S.AWAITING_APPROVAL)
    return walk


def test_a_takeover_asks_too() -> None:
    """What the lower branch did stays in force meanwhile; the evidence is not captured again."""
    walk = taken_over()
    assert next_command(walk.incident) == m.AwaitPerson(until_ms=walk.now_ms + MINUTE)
    walk.say(said("approve"))
    assert walk.incident.state is S.FREEZING
    walk.to(S.CLOSED)
    assert walk.states.count(S.CAPTURING) == 1


def test_a_takeover_that_is_declined_needs_a_person() -> None:
    """Something was done before: it does not end as if nothing had been touched."""
    walk = taken_over()
    walk.say(said("decline"))
    assert (walk.incident.state, walk.incident.reason) == (S.NEEDS_HUMAN, Reason.DECLINED)
    walk.say(said("restore"))
    closed = walk.to(S.CLOSED)
    assert {each.status for each in closed.ledger} == {MeasureStatus.RESTORED}
