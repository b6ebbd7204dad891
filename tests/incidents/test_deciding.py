"""A person's word where measures are in force, where a rotation is owed, where a limit failed."""

import pytest
from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.afterwards import acknowledge, ended_by_hand, released
from rollbackd.incidents.deciding import objection
from rollbackd.incidents.ledger import left_in_force, taken
from rollbackd.incidents.pages import pages_for
from rollbackd.incidents.step import next_command
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, MeasureStatus, State
from rollbackd.model.policy import LeverCall
from tests.incidents.samples import opened, policy_of
from tests.incidents.walking import Answer, Walk, failed

S = State


def said(word: str) -> m.Decided:
    return m.Decided(decision=word, by="eve")


# Abort


def test_a_plain_abort_does_not_forget_what_is_in_force() -> None:
    """It is refused, names the measures and says what can be done instead."""
    walk = Walk(opened())
    walk.to(S.WATCHING)
    record = walk.say(said("abort"))
    assert record is not None
    assert walk.incident.state is S.WATCHING
    because = str(record.detail["refused"])
    assert because == objection(walk.incident, "abort")
    for part in (
        "write_block@rag/eu-1",
        "throttle@rag/eu-1",
        "`restore`",
        "abort_leaving_measures",
    ):
        assert part in because


def test_a_plain_abort_ends_what_has_nothing_in_force() -> None:
    """Before the first measure."""
    walk = Walk(opened())
    walk.to(S.CAPTURING)
    walk.say(said("abort"))
    assert (walk.incident.state, walk.incident.reason) == (S.ABORTED, Reason.OPERATOR_DECISION)


def left() -> Walk:
    walk = Walk(opened())
    walk.to(S.WATCHING)
    walk.say(said("abort_leaving_measures"))
    return walk


def test_measures_can_be_left_on_purpose() -> None:
    """Each is marked, the journal names them, and somebody is asked."""
    walk = left()
    ended = walk.incident
    assert (ended.state, ended.reason) == (S.ABORTED, Reason.MEASURES_LEFT_IN_FORCE)
    assert {each.status for each in ended.ledger} == {MeasureStatus.LEFT_IN_FORCE}
    assert walk.records[-1].detail["left_in_force"] == ["write_block@rag/eu-1", "throttle@rag/eu-1"]
    watching = replace(ended, state=S.WATCHING, ledger=[])
    assert pages_for(watching, ended) == [Reason.MEASURES_LEFT_IN_FORCE]


def test_an_act_in_hand_does_not_block_it_and_may_be_in_force() -> None:
    """A lever that hangs: what became of its measure is not known, so it counts as left."""
    walk = Walk(opened())
    walk.until_pending("write_block")
    assert "write_block" in objection(walk.incident, "abort")
    walk.say(said("abort_leaving_measures"))
    assert [each.status for each in walk.incident.ledger] == [MeasureStatus.LEFT_IN_FORCE]
    assert walk.records[-1].detail["unknown"] == "write_block@rag/eu-1"


def test_who_knows_of_them_takes_them_over() -> None:
    """A note in the journal of the ended incident, chained as every record."""
    ended = left().incident
    noted, record = acknowledge(ended, "eve", 1)
    assert left_in_force(noted) == []
    assert (record.kind, record.from_state, record.to_state) == (
        "MeasuresAcknowledged",
        S.ABORTED,
        S.ABORTED,
    )
    assert (record.sequence, noted.chain_head) == (noted.version, record.audit_hash)
    with pytest.raises(ValueError, match="left no measure in force"):
        acknowledge(noted, "eve", 2)


def test_what_was_ended_by_hand_is_marked_one_by_one() -> None:
    """The other one still is in force."""
    ended = left().incident
    noted, record = ended_by_hand(ended, ended.ledger[:1], 1)
    assert [each.status for each in noted.ledger] == [
        MeasureStatus.ENDED_BY_HAND,
        MeasureStatus.LEFT_IN_FORCE,
    ]
    assert record.detail["measures"] == ["write_block@rag/eu-1"]


def test_a_release_is_noted_with_who_and_why() -> None:
    """And changes nothing else of the incident."""
    ended = left().incident
    noted, record = released(ended, "flag:canary", by="eve", because="fixed", now_ms=1)
    assert record.detail == {"control": "flag:canary", "by": "eve", "because": "fixed"}
    assert replace(noted, version=ended.version, chain_head=ended.chain_head) == ended


@pytest.mark.parametrize(
    ("state", "word", "part"),
    [
        (S.WATCHING, "approve", "asks for no approval"),
        (S.WATCHING, "decline", "asks for no approval"),
        (S.AWAITING_APPROVAL, "restore", "`decline` stands down"),
        (S.NEEDS_HUMAN, "rotated", "misses no rotation"),
        (S.NEEDS_HUMAN, "dance", "it must be one of approve, decline"),
        (S.NEEDS_HUMAN, "restore", ""),
        (S.NEEDS_HUMAN, "abort", ""),
        (S.AWAITING_APPROVAL, "approve", ""),
    ],
)
def test_a_word_that_does_not_fit_is_refused_with_the_way_out(
    state: State, word: str, part: str
) -> None:
    """The same for the API and for the step."""
    because = objection(replace(opened(), state=state), word)
    assert part in because
    assert bool(because) == bool(part)


# A rotation that did not happen


def rotation_fails(times: int) -> Answer:
    left_over = [1] * times

    def answer(command: m.Command) -> m.Event | None:
        here = isinstance(command, m.Perform)
        if here and command.intent.change.target.lever == "cache_rotate" and left_over:
            left_over.pop()
            return failed()
        return None

    return answer


def test_a_restore_tries_the_rotation_that_is_owed_first() -> None:
    """F1: it happens before anything is given back, and then it closes."""
    walk = Walk(opened(), rotation_fails(1))
    walk.to(S.NEEDS_HUMAN)
    assert walk.incident.rotation_owed
    walk.say(said("restore"))
    closed = walk.to(S.CLOSED)
    levers = [r.target.lever for r in closed.receipts]
    assert levers == ["write_block", "flag_off", "cache_rotate", "write_block"]
    assert not closed.rotation_owed


def test_without_the_rotation_it_does_not_close() -> None:
    """Writers are given back all the same: a person said so. The next restore tries again."""
    walk = Walk(opened(), rotation_fails(2))
    walk.to(S.NEEDS_HUMAN)
    walk.say(said("restore"))
    walk.to(S.AUDITING)
    walk.to(S.NEEDS_HUMAN)
    assert walk.incident.reason is Reason.AUDIT_FAILED
    assert walk.incident.note == "audit failed: cache_was_rotated"
    assert {each.status for each in walk.incident.ledger} == {MeasureStatus.RESTORED}
    walk.say(said("restore"))
    assert walk.to(S.CLOSED).receipts[-1].target.lever == "cache_rotate"


def test_a_person_may_state_that_it_was_rotated() -> None:
    """By other means; the journal says who did."""
    walk = Walk(opened(), rotation_fails(1_000))
    walk.to(S.NEEDS_HUMAN)
    record = walk.say(said("rotated"))
    assert record is not None
    assert record.detail == {"decision": "rotated", "by": "eve"}
    walk.say(said("restore"))
    walk.to(S.CLOSED)
    assert "cache_rotate" not in {r.target.lever for r in walk.incident.receipts}


# A limit that cannot be put on


def throttles(**policy: object) -> Incident:
    return opened("cost_or_latency", policy=policy_of("cost_or_latency", **policy))


def throttle_fails(*levers: str) -> Answer:
    def answer(command: m.Command) -> m.Event | None:
        here = isinstance(command, m.Perform) and command.intent.change.target.lever in levers
        return failed() if here else None

    return answer


@pytest.mark.parametrize(
    ("fails", "state"),
    [
        (["throttle"], S.CLOSED),
        (["degrade"], S.CLOSED),
        (["throttle", "degrade"], S.NEEDS_HUMAN),
    ],
)
def test_a_limit_is_passed_over_only_when_something_else_was_done(
    fails: list[str], state: State
) -> None:
    """When it was the whole branch there is nothing to watch."""
    walk = Walk(throttles(), throttle_fails(*fails))
    walk.to(S.CLOSED, S.NEEDS_HUMAN)
    assert walk.incident.state is state
    if state is S.NEEDS_HUMAN:
        assert walk.incident.reason is Reason.THROTTLE_FAILED
        assert S.WATCHING not in walk.states


def test_a_limit_that_only_may_stand_leaves_nothing_to_watch() -> None:
    """It is kept in the ledger and given back in the end; nobody saw it take effect."""

    def lost(command: m.Command) -> m.Event | None:
        throttles = isinstance(command, m.Perform) and command.intent.reverts is None
        return replace(failed(), may_stand=True) if throttles else None

    walk = Walk(throttles(), lost)
    walk.to(S.CLOSED, S.NEEDS_HUMAN)
    assert (walk.incident.state, walk.incident.reason) == (S.NEEDS_HUMAN, Reason.THROTTLE_FAILED)
    assert S.WATCHING not in walk.states
    assert len(taken(walk.incident)) == 2


def test_a_limit_before_the_flip_is_passed_over() -> None:
    """The flip is what helps (K18)."""
    policy = {
        "throttle": [LeverCall(lever="throttle")],
        "levers": [LeverCall(lever="flag_off", name="canary")],
        "rotate": LeverCall(lever="cache_rotate"),
    }
    walk = Walk(throttles(**policy), throttle_fails("throttle"))
    walk.to(S.CLOSED)
    assert S.FLIPPING in walk.states


def test_a_decision_is_no_answer_to_a_command() -> None:
    """What was waited for is waited for on."""
    walk = Walk(opened())
    walk.to(S.WATCHING)
    command = next_command(walk.incident)
    walk.say(said("abort"))
    assert next_command(walk.incident) == command
