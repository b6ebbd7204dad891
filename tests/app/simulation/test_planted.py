"""The simulator finds bugs: each one that is planted breaks its invariant within 500 seeds."""

from itertools import islice

import pytest

from rollbackd.app.simulation.campaign import quiet
from rollbackd.app.simulation.play import play
from rollbackd.app.simulation.scenario import draw
from rollbackd.app.simulation.tracks import Violation
from tests.app.simulation.planted import PLANTED, Planted

SEEDS = 500


@pytest.mark.parametrize("planted", PLANTED, ids=lambda each: each.plant.__name__)
def test_a_planted_bug_is_found(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """And by the invariant that it breaks."""
    planted.plant(monkeypatch)
    found: Violation | None
    with quiet():
        violations = (play(draw(seed)).violation for seed in range(SEEDS))
        found = next(islice(filter(None, violations), 1), None)
    assert found is not None
    assert found.invariant in planted.breaks
