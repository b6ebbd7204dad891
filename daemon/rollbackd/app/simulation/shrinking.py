"""The shortest schedule that still breaks the same invariant.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002,
algorithm ddmin): leave out ever smaller parts of the schedule as long as it still fails.
"""

from collections.abc import Callable, Sequence
from typing import Final

from rollbackd.app.simulation.faults import Fault
from rollbackd.app.simulation.play import play
from rollbackd.app.simulation.scenario import Scenario
from rollbackd.app.simulation.tracks import Invariant

#: Runs after which the shortest one so far has to do.
_MAX_RUNS: Final = 200


def shortest(scenario: Scenario, invariant: Invariant) -> list[Fault]:
    """The fewest faults found that break the invariant; all of them when none can be left out."""
    runs = 0

    def fails(faults: Sequence[Fault]) -> bool:
        nonlocal runs
        runs += 1
        violation = play(scenario, faults).violation
        return violation is not None and violation.invariant is invariant

    return minimized(scenario.faults, fails, lambda: runs < _MAX_RUNS)


def minimized(
    faults: Sequence[Fault],
    fails: Callable[[Sequence[Fault]], bool],
    may_go_on: Callable[[], bool] = lambda: True,
) -> list[Fault]:
    """ddmin: a part of the schedule of which nothing can be left out one by one."""
    left, parts = list(faults), 2
    if not left or fails([]):
        return []
    while len(left) > 1 and may_go_on():
        size = -(-len(left) // parts)
        for start in range(0, len(left), size):
            without = left[:start] + left[start + size :]
            if without and fails(without):
                left, parts = without, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(left))
    return left
