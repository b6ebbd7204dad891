"""The table of legal transitions."""

import itertools

import pytest

from rollbackd.incidents.states import (
    TRANSITIONS,
    IllegalTransitionError,
    check_transition,
    next_state,
)
from rollbackd.model.incidents import TERMINAL, State
from tests.incidents.samples import BRANCHES, policy_of

PAIRS = list(itertools.product(State, State))


def test_the_table_has_every_state() -> None:
    """A state without a row would be a KeyError at the worst time."""
    assert set(TRANSITIONS) == set(State)
    assert {state for state, following in TRANSITIONS.items() if not following} == TERMINAL


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_what_is_not_in_the_table_is_refused(before: State, after: State) -> None:
    """And what is in it passes; a state may stay what it is."""
    if before is after or after in TRANSITIONS[before]:
        check_transition(before, after)
    else:
        with pytest.raises(IllegalTransitionError, match=f"{before} => {after} is not allowed"):
            check_transition(before, after)


def test_every_state_can_be_reached() -> None:
    """A state that nothing leads to would be dead code."""
    reached, frontier = set(), {State.DETECTED}
    while frontier:
        reached |= frontier
        frontier = {after for each in frontier for after in TRANSITIONS[each]} - reached
    assert reached == set(State)


def test_people_can_abort_from_everywhere() -> None:
    """No state that goes on keeps a person from ending it."""
    assert all(State.ABORTED in TRANSITIONS[state] for state in set(State) - TERMINAL)


def test_restoring_pulls_nothing_any_more() -> None:
    """Once measures are being given back only a pointer may still be put back, for the unit."""
    people = {State.NEEDS_HUMAN, State.ABORTED}
    assert TRANSITIONS[State.RESTORING] == {State.AUDITING, State.REVERTING} | people


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_branch_leaves_out_and_never_reorders(branch: str) -> None:
    """Freeze before flip, flip before rotation, watching last."""
    policy = policy_of(branch)
    seen = [State.CAPTURING]
    while seen[-1] is not State.WATCHING:
        seen.append(next_state(policy, seen[-1]))
    order = [State.FREEZING, State.CHOOSING, State.ROTATING, State.WATCHING]
    assert [s for s in seen if s in order] == [s for s in order if s in seen]
    first = seen.index(State.THROTTLING) if State.THROTTLING in seen else len(seen)
    if policy.throttle_first and State.CHOOSING in seen:
        assert first < seen.index(State.CHOOSING)
