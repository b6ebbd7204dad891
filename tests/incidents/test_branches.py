"""Each shipped branch from its trigger to closed."""

import pytest

from rollbackd.incidents import messages as m
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import MeasureStatus, State
from rollbackd.model.levers import LeverKind
from rollbackd.model.policy import LeverCall
from rollbackd.model.triggers import Verdict
from tests.incidents.samples import BRANCHES, KINDS, NOW, opened, policy_of, reading
from tests.incidents.walking import Walk

S = State
END = (S.WATCHING, S.RESTORING, S.AUDITING, S.CLOSED)
WAYS = {
    "duplicate_effects": (S.FREEZING, S.CHOOSING, S.FLIPPING, S.ROTATING),
    "retriever_mismatch": (S.FREEZING, S.CHOOSING, S.FLIPPING, S.ROTATING),
    "quality_regression": (S.FREEZING, S.CHOOSING, S.FLIPPING, S.ROTATING, S.THROTTLING),
    "cost_or_latency": (S.THROTTLING,),
}


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_visits_exactly_the_states_it_needs(branch: str) -> None:
    """In the order of the checklist, and no other."""
    walk = Walk(opened(branch))
    walk.to(S.CLOSED)
    assert walk.states == [S.DETECTED, S.CAPTURING, *WAYS[branch], *END]


@pytest.mark.parametrize("branch", BRANCHES)
def test_every_temporary_measure_is_given_back(branch: str) -> None:
    """Youngest first, each under its own op, and what is lasting stays."""
    walk = Walk(opened(branch))
    closed = walk.to(S.CLOSED)
    acts = [c.intent for c in walk.commands if isinstance(c, m.Perform)]
    measures = [a for a in acts if a.reverts is None and a.kind is LeverKind.TEMPORARY]
    given_back = [a for a in acts if a.reverts is not None]
    assert [a.change for a in given_back] == [a.change for a in reversed(measures)]
    assert {each.status for each in closed.ledger} <= {MeasureStatus.RESTORED}
    assert len(closed.ledger) == len(measures)
    levers = [a.change.target.lever for a in acts if a.kind is not LeverKind.TEMPORARY]
    assert all(KINDS[lever] is not LeverKind.TEMPORARY for lever in levers)


@pytest.mark.parametrize("branch", BRANCHES)
def test_each_step_is_journaled_with_its_reason(branch: str) -> None:
    """Every change of state has a record, and the receipts tell each act once."""
    walk = Walk(opened(branch))
    closed = walk.to(S.CLOSED)
    ways = [(r.from_state, r.to_state) for r in walk.records if r.from_state is not r.to_state]
    assert ways == list(zip(walk.states, walk.states[1:], strict=False))
    op_ids = [receipt.op_id for receipt in closed.receipts]
    assert len(op_ids) == len(set(op_ids)) == closed.acts
    assert walk.records[-1].reason is Reason.AUDIT_PASSED


def test_throttling_comes_before_the_flip_where_the_branch_says_so() -> None:
    """K18: a storm of 429 is calmed before a pointer moves."""
    policy = policy_of(
        "cost_or_latency",
        levers=[LeverCall(lever="flag_off", name="canary")],
        rotate=LeverCall(lever="cache_rotate"),
    )
    walk = Walk(opened("cost_or_latency", policy=policy))
    walk.to(S.WATCHING)
    assert walk.states[2:] == [S.THROTTLING, S.CHOOSING, S.FLIPPING, S.ROTATING, S.WATCHING]


def test_the_hold_is_as_long_as_the_policy_says() -> None:
    """Green for the whole hold, counted from the first green reading."""
    walk = Walk(opened())
    walk.to(S.WATCHING)
    entered = walk.now_ms
    walk.to(S.RESTORING)
    policy = walk.incident.policy
    assert walk.now_ms - entered == policy.hold_ms + policy.watch_interval_ms
    assert walk.incident.green_at_ms == walk.now_ms


def test_flips_are_timed_from_the_opening() -> None:
    """`flipped_at_ms` is when the pointer was read back; the hold looks at samples after it."""
    walk = Walk(opened())
    walk.until_pending("flag_off")
    walk.now_ms += 700
    walk.turn()
    assert walk.incident.flipped_at_ms == NOW + 700


def test_a_branch_without_a_pointer_to_move_says_so() -> None:
    """Nothing to flip is no failure: the cache is rotated all the same."""

    def answer(command: m.Command) -> m.Event | None:
        if isinstance(command, m.Prepare) and command.index is not None:
            return m.NothingToMove(call=command.call, index=command.index)
        return None

    walk = Walk(opened(), answer)
    walk.to(S.CLOSED)
    assert S.FLIPPING not in walk.states
    assert S.ROTATING in walk.states
    assert Reason.FLIP_NOT_NEEDED in {record.reason for record in walk.records}


def test_a_freeze_that_stands_already_counts_as_confirmed() -> None:
    """Somebody froze the writers before: nothing is taken, so nothing is given back."""

    def answer(command: m.Command) -> m.Event | None:
        if isinstance(command, m.Prepare) and command.call.lever == "write_block":
            return m.NothingToMove(call=command.call)
        return None

    walk = Walk(opened("duplicate_effects"), answer)
    assert walk.to(S.CLOSED).ledger == []


def test_unchanged_readings_are_not_journaled() -> None:
    """A hold of ten minutes leaves a handful of records, not a hundred."""
    walk = Walk(opened())
    walk.to(S.CLOSED)
    read = [record for record in walk.records if record.kind == "Read"]
    assert len(read) == 2  # the first green, and the end of the hold


def test_a_changed_reading_is_journaled_with_its_values() -> None:
    """So that the report shows when a target turned."""
    verdicts = iter([Verdict.RED, Verdict.RED, Verdict.UNKNOWN])

    def answer(command: m.Command) -> m.Event | None:
        if isinstance(command, m.Watch):
            return m.Read(readings=[reading(next(verdicts, Verdict.GREEN))])
        return None

    walk = Walk(opened(), answer)
    walk.to(S.CLOSED)
    told = [r.detail["readings"] for r in walk.records if "readings" in r.detail]
    assert told == [
        {"errors": {"value": 0.2, "verdict": Verdict.RED}},
        {"errors": {"value": None, "verdict": Verdict.UNKNOWN}},
        {"errors": {"value": 0.001, "verdict": Verdict.GREEN}},
    ]
