"""A process that stops while it acts: what it was sending comes when nobody expects it."""

from itertools import count

import pytest

from rollbackd.app.simulation.campaign import quiet
from rollbackd.app.simulation.faults import FIRST_ACT, Fault, FaultKind
from rollbackd.app.simulation.play import Outcome, play
from rollbackd.app.simulation.scenario import Scenario, Service, draw
from rollbackd.app.simulation.tracks import Invariant
from rollbackd.model.labels import Scope
from tests.app.simulation.planted import drop_the_epoch_check, take_over_without_a_fence


def duplicates() -> Scenario:
    """A service whose first act is its fence, in a tree that acts and asks nobody."""
    drawn = map(draw, count())
    trees = (each.tree for each in drawn)
    policies = ((tree, tree.branches["duplicate_effects"]) for tree in trees)
    tree = next(tree for tree, policy in policies if policy.mode == "act" and not policy.approval)
    service = Service(
        scope=Scope("rag", "eu"),
        cause="flag:canary",
        branches=("duplicate_effects", "duplicate_effects"),
        heals_after_ms=0,
        breaks_at_ms=2_000,
        writers_stop_after_ms=0,
        known_good=True,
        source="rules",
    )
    return Scenario(seed=0, tree=tree, services=[service], faults=[])


def stalled(seconds: int) -> Outcome:
    """The first process stops in its first act; to the second one the target is closed."""
    stall = Fault(
        kind=FaultKind.STALL, point=FIRST_ACT, nth=1, for_ms=seconds * 1_000, elsewhere=True
    )
    with quiet():
        return play(duplicates(), [stall])


#: The second of these is longer than the daemon keeps an act up that it cannot renew its lease for.
@pytest.mark.parametrize("seconds", [30, 75])
def test_what_was_being_sent_is_turned_away(seconds: int) -> None:
    """The fence of the process that took over stands."""
    outcome = stalled(seconds)
    assert outcome.violation is None
    assert outcome.faults == {"stall": 1}


@pytest.mark.parametrize("seconds", [30, 75])
def test_without_the_fence_it_takes_effect(seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the incident has ended: so the test above does test the fence."""
    take_over_without_a_fence(monkeypatch)
    violation = stalled(seconds).violation
    assert violation is not None
    assert violation.invariant is Invariant.ACTED_ENDS


@pytest.mark.parametrize("seconds", [8, 30, 75])
def test_without_the_epoch_check_it_takes_effect(
    seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However short the process stood still."""
    drop_the_epoch_check(monkeypatch)
    violation = stalled(seconds).violation
    assert violation is not None
    assert violation.invariant is Invariant.EPOCH
