"""A freeze is confirmed by its probes, or nothing is flipped (F2)."""

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.states import IllegalTransitionError, check_promises
from rollbackd.incidents.step import next_command
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, MeasureStatus, State
from rollbackd.model.policy import FreezeProbe
from tests.incidents.samples import opened, policy_of, trigger_of
from tests.incidents.walking import Answer, Walk, checked

S = State
PROBES = [FreezeProbe(kind="write"), FreezeProbe(kind="consumers")]


def probed() -> Incident:
    policy = policy_of("quality_regression")
    assert policy.freeze is not None
    return opened(policy=replace(policy, freeze=replace(policy.freeze, confirm=PROBES)))


def says(rounds: Iterable[tuple[bool, bool]], then: tuple[bool, bool] = (True, True)) -> Answer:
    left = iter(rounds)

    def answer(command: m.Command) -> m.Event | None:
        return checked(*next(left, then)) if isinstance(command, m.ConfirmFreeze) else None

    return answer


def confirming(walk: Walk) -> Walk:
    walk.until_pending("write_block")
    walk.turn()
    return walk


def test_the_probes_are_asked_once_the_fence_was_read_back() -> None:
    """All of them, and the incident stays where it is until they agree."""
    walk = confirming(Walk(probed()))
    assert walk.incident.state is S.FREEZING
    assert walk.incident.reason is Reason.FREEZE_IN_FORCE
    assert next_command(walk.incident) == m.ConfirmFreeze(probes=PROBES)
    walk.turn()
    assert (walk.incident.state, walk.incident.reason) == (S.CHOOSING, Reason.FREEZE_CONFIRMED)


def test_one_that_is_missing_is_asked_for_again_with_the_others() -> None:
    """What stood still a moment ago may run again: each round counts for itself."""
    walk = confirming(Walk(probed(), says([(True, False), (False, True), (True, True)])))
    rounds = 0
    while walk.incident.state is S.FREEZING:
        again = next_command(walk.incident)
        assert again == m.ConfirmFreeze(probes=PROBES, again=rounds > 0)
        walk.turn()
        rounds += 1
    assert (rounds, walk.incident.state) == (3, S.CHOOSING)


def test_without_a_confirmation_a_person_is_asked_and_the_freeze_stays() -> None:
    """Nothing is flipped."""
    walk = confirming(Walk(probed(), says([], then=(True, False))))
    walk.turn()
    walk.now_ms += walk.incident.policy.confirm_freeze_ms - 1
    walk.turn()
    assert walk.incident.state is S.FREEZING
    walk.now_ms += 1
    walk.turn()
    assert walk.incident.state is S.NEEDS_HUMAN
    assert walk.incident.reason is Reason.FREEZE_NOT_CONFIRMED
    assert walk.incident.note.startswith("p1")
    assert [each.status for each in walk.incident.ledger] == [MeasureStatus.TAKEN]
    assert S.FLIPPING not in walk.states


def test_a_clock_set_back_does_not_stretch_the_wait() -> None:
    """An hour back is not an hour more."""
    walk = confirming(Walk(probed(), says([], then=(False, False))))
    walk.now_ms -= 3_600_000
    walk.turn()
    walk.now_ms += walk.incident.policy.confirm_freeze_ms
    walk.turn()
    assert walk.incident.state is S.NEEDS_HUMAN


def test_a_fence_that_stood_already_is_confirmed_too() -> None:
    """Somebody else blocked the writers: that they obey is not known yet."""

    def answer(command: m.Command) -> m.Event | None:
        if isinstance(command, m.Prepare) and command.call.lever == "write_block":
            return m.NothingToMove(call=command.call)
        return None

    walk = Walk(probed(), answer)
    walk.to(S.FREEZING)
    walk.turn()
    assert isinstance(next_command(walk.incident), m.ConfirmFreeze)


def test_each_round_that_says_something_new_is_journaled() -> None:
    """And the same answer again is not."""
    walk = confirming(Walk(probed(), says([(True, False)] * 3)))
    for _ in range(4):
        walk.turn()
    told = [r.detail["probes"] for r in walk.records if r.kind == "FreezeChecked"]
    assert told == [{"p0": True, "p1": False}, {"p0": True, "p1": True}]


def test_a_takeover_has_to_confirm_its_own_freeze() -> None:
    """What the branch before had confirmed was another fence."""
    walk = Walk(probed())
    walk.to(S.WATCHING)
    higher = policy_of("duplicate_effects")
    assert higher.freeze is not None
    higher = replace(higher, freeze=replace(higher.freeze, confirm=PROBES))
    walk.say(m.TriggerJoined(trigger=trigger_of("duplicate_effects"), policy=higher))
    walk.to(S.FREEZING)
    assert walk.incident.confirmations == []
    confirming(walk)
    assert isinstance(next_command(walk.incident), m.ConfirmFreeze)


def test_no_lever_is_prepared_without_a_confirmed_freeze() -> None:
    """Even for an incident that should not exist: the choice of a lever asks again."""
    walk = Walk(replace(probed(), state=S.CHOOSING))
    assert isinstance(next_command(walk.incident), m.Continue)
    walk.turn()
    assert (walk.incident.state, walk.incident.reason) == (
        S.NEEDS_HUMAN,
        Reason.FREEZE_NOT_CONFIRMED,
    )


@pytest.mark.parametrize(
    "broken",
    [
        replace(probed(), state=S.FLIPPING),
        replace(opened(), state=S.WATCHING, rotation_owed=True),
        replace(opened(), state=S.CLOSED),
    ],
)
def test_an_incident_that_breaks_a_promise_is_refused(broken: Incident) -> None:
    """Whatever led to it: F1, F2 and F5 are looked at after every step."""
    with pytest.raises(IllegalTransitionError, match=r"\(F[125]\)"):
        check_promises(broken)
