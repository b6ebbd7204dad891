"""Many seeds: none breaks an invariant, every fault strikes, every state is reached."""

import os
import subprocess
import sys

import pytest

from rollbackd.app.simulation.campaign import Tally, play_batch, run_seeds
from rollbackd.app.simulation.faults import FaultKind
from rollbackd.model.incidents import State

_DIGEST = """
import hashlib
from rollbackd.app.simulation.campaign import quiet
from rollbackd.app.simulation.play import play
from rollbackd.app.simulation.scenario import draw
with quiet():
    stories = ["\\n".join(play(draw(seed), with_story=True).story) for seed in range(20)]
print(hashlib.sha256("\\n".join(stories).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def tally() -> Tally:
    """1,000 seeds on two processes."""
    return run_seeds(0, 1_000, jobs=2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_seed_breaks_an_invariant(tally: Tally) -> None:
    """The production code holds what it promises, whatever happens."""
    assert tally.failures == []
    assert tally.seeds == 1_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything_happens(tally: Tally) -> None:
    """A simulation in which nothing happens proves nothing."""
    assert set(tally.faults) == set(FaultKind)
    assert set(tally.states) == set(State)
    assert tally.crashes > 500


def test_a_seed_plays_the_same_in_every_process() -> None:
    """Down to the last line of its story, whatever the order of sets and hashes."""

    def digest(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-c", _DIGEST]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return run.stdout

    assert digest("1") == digest("2") != ""


def test_the_figures_do_not_depend_on_the_processes() -> None:
    """Two processes count what one counts."""
    one, two = play_batch(0, 40), run_seeds(0, 40, jobs=2)
    assert (one.faults, one.states, one.virtual_ms) == (two.faults, two.states, two.virtual_ms)
