"""The unit asks for a step to be put back."""

import pytest
from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.step import next_command
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import MeasureStatus, State
from rollbackd.model.policy import Approval
from rollbackd.model.triggers import Verdict
from tests.incidents.samples import opened, policy_of
from tests.incidents.walking import Walk, failed, reads, receipt_of

S = State
ASKED = m.CompensationAsked(because="the step after it failed")


@pytest.mark.parametrize(
    "state",
    [S.ROTATING, S.THROTTLING, S.WATCHING, S.ESCALATING, S.CHOOSING, S.RESTORING, S.AUDITING],
)
def test_a_step_that_is_flipped_is_put_back(state: State) -> None:
    """From wherever it is, once; the freeze is kept for a person."""
    walk = Walk(opened(), reads([Verdict.RED] * 121))
    if state is S.CHOOSING:
        walk.to(S.ESCALATING)
    walk.to(state)
    walk.say(ASKED)
    walk.to(S.REVERTING)
    walk.to(S.NEEDS_HUMAN)
    after = walk.incident
    assert (after.reason, after.reverted, after.flips) == (Reason.COMPENSATED, True, [])
    reverts = [c.intent for c in walk.commands if isinstance(c, m.Perform) and c.intent.reverts]
    assert "flag_off" in {intent.change.target.lever for intent in reverts}


def test_every_flip_is_put_back_the_youngest_first() -> None:
    """A second lever was pulled before the unit asked."""
    walk = Walk(opened(), reads([Verdict.RED] * 121))
    walk.to(S.ESCALATING)
    walk.to(S.WATCHING)
    assert len(walk.incident.flips) == 2
    walk.say(ASKED)
    walk.to(S.NEEDS_HUMAN)
    reverts = [c.intent for c in walk.commands if isinstance(c, m.Perform) and c.intent.reverts]
    assert [each.change.target.lever for each in reverts] == ["repin", "flag_off"]
    assert Reason.FLIP_REVERTED in {record.reason for record in walk.records}


def test_what_is_pending_is_known_first() -> None:
    """An act in hand is finished before anything is put back."""
    walk = Walk(opened())
    walk.until_pending("cache_rotate")
    walk.say(ASKED)
    assert isinstance(next_command(walk.incident), m.Perform)
    walk.to(S.NEEDS_HUMAN)
    assert [r.target.lever for r in walk.incident.receipts][-2:] == ["cache_rotate", "flag_off"]


@pytest.mark.parametrize("state", [S.DETECTED, S.CAPTURING, S.FREEZING, S.CHOOSING])
def test_a_step_that_is_not_flipped_is_not_flipped_any_more(state: State) -> None:
    """It goes to a person with its evidence."""
    walk = Walk(opened())
    walk.to(state)
    walk.say(ASKED)
    walk.to(S.NEEDS_HUMAN)
    assert walk.incident.reason is Reason.COMPENSATED
    assert walk.incident.evidence is not None
    assert S.FLIPPING not in walk.states


def test_a_step_that_waits_for_approval_needs_a_person() -> None:
    """There is nothing left to approve."""
    walk = Walk(opened(policy=policy_of("quality_regression", approval=Approval())))
    walk.to(S.AWAITING_APPROVAL)
    walk.say(ASKED)
    walk.turn()
    assert (walk.incident.state, walk.incident.reason) == (S.NEEDS_HUMAN, Reason.COMPENSATED)


@pytest.mark.parametrize("flipped", [True, False])
def test_asking_twice_changes_nothing(*, flipped: bool) -> None:
    """Neither while it is under way nor when it is done."""
    walk = Walk(opened())
    walk.to(S.WATCHING if flipped else S.FREEZING)
    walk.say(ASKED)
    walk.say(ASKED)
    walk.to(S.NEEDS_HUMAN)
    before = walk.incident
    record = walk.say(ASKED)
    assert record is not None
    assert record.detail["again"]
    assert replace(walk.incident, version=before.version, chain_head=before.chain_head) == before
    walk.turn()
    assert walk.incident.state is S.NEEDS_HUMAN


def test_a_pointer_that_is_no_longer_ours_is_left_alone() -> None:
    """Compare-and-restore: somebody else moved it meanwhile, and the note says so."""
    walk = Walk(opened())
    walk.to(S.WATCHING)
    walk.say(ASKED)
    walk.to(S.REVERTING)
    walk.turn()
    command = next_command(walk.incident)
    assert isinstance(command, m.Perform)
    walk.say(m.GivenBack(restored=False, receipt=receipt_of(command)))
    assert walk.incident.state is S.NEEDS_HUMAN
    assert "left alone" in walk.incident.note


@pytest.mark.parametrize("reason", [Reason.LEVER_FAILED, Reason.FENCED_OFF, Reason.TARGET_MOVED])
def test_a_pointer_that_cannot_be_put_back_needs_a_person(reason: Reason) -> None:
    """A target that moves is chased three times, under new ops; the flip is not forgotten."""
    walk = Walk(opened())
    walk.to(S.WATCHING)
    walk.say(ASKED)
    tries = 0
    while walk.incident.state is not S.NEEDS_HUMAN:
        if isinstance(next_command(walk.incident), m.Perform):
            walk.say(failed(reason))
            tries += 1
        else:
            walk.turn()
    assert tries == (3 if reason is Reason.TARGET_MOVED else 1)
    assert (walk.incident.reason, walk.incident.reverted) == (reason, False)
    assert len(walk.incident.flips) == 1
    assert not isinstance(next_command(walk.incident), m.Continue)


def test_a_person_may_restore_what_was_put_back() -> None:
    """Everything temporary is given back, and it closes."""
    walk = Walk(opened())
    walk.to(S.WATCHING)
    walk.say(ASKED)
    walk.to(S.NEEDS_HUMAN)
    walk.say(m.Decided(decision="restore", by="eve"))
    closed = walk.to(S.CLOSED)
    assert {each.status for each in closed.ledger} == {MeasureStatus.RESTORED}
