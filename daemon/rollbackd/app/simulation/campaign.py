"""Many seeds on some processes, and what they came to together."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Final

import msgspec

from rollbackd.app.simulation.play import Outcome, play
from rollbackd.app.simulation.scenario import draw
from rollbackd.app.simulation.shrinking import shortest
from rollbackd.app.simulation.tracks import Violation

#: Seeds that a process takes at a time.
_BATCH: Final = 25
#: Failing seeds that are shrunk; of more than these the number is enough.
_SHRUNK: Final = 3


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A seed that broke an invariant."""

    seed: int
    violation: Violation
    #: How many faults the seed drew.
    drawn: int
    #: The shortest schedule found; None when it was not looked for.
    schedule: list[str] | None = None


class Tally(msgspec.Struct, kw_only=True):
    """What some seeds came to."""

    seeds: int = 0
    incidents: int = 0
    crashes: int = 0
    processes: int = 0
    virtual_ms: int = 0
    seconds: float = 0.0
    faults: dict[str, int] = {}
    states: dict[str, int] = {}
    failures: list[Failure] = []

    def add(self, other: "Tally") -> None:
        """Count what others found, too."""
        self.seeds += other.seeds
        self.incidents += other.incidents
        self.crashes += other.crashes
        self.processes += other.processes
        self.virtual_ms += other.virtual_ms
        self.faults = _sum(self.faults, other.faults)
        self.states = _sum(self.states, other.states)
        self.failures = sorted([*self.failures, *other.failures], key=lambda each: each.seed)


def run_seeds(
    first: int, count: int, *, jobs: int = 1, on_progress: Callable[[int], None] = lambda _: None
) -> Tally:
    """Play seeds `first` to `first + count - 1`; `on_progress` hears of how many were played."""
    started = time.monotonic()
    total = Tally()
    ends = first + count
    batches = [(start, min(_BATCH, ends - start)) for start in range(first, ends, _BATCH)]
    for tally in _played(batches, jobs):
        total.add(tally)
        on_progress(total.seeds)
    total.failures = [
        _shrunk(failure) if number < _SHRUNK else failure
        for number, failure in enumerate(total.failures)
    ]
    total.seconds = time.monotonic() - started
    return total


def play_batch(first: int, count: int) -> Tally:
    """Play some seeds in this process."""
    total = Tally()
    with quiet():
        for seed in range(first, first + count):
            scenario = draw(seed)
            total.add(_tally(play(scenario), len(scenario.faults)))
    return total


@contextmanager
def quiet() -> Iterator[None]:
    """Nobody reads the log of a simulation, and writing it would be most of the work."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _played(batches: list[tuple[int, int]], jobs: int) -> Iterator[Tally]:
    if jobs == 1 or len(batches) == 1:
        yield from (play_batch(*batch) for batch in batches)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(play_batch, *batch) for batch in batches]):
            yield done.result()


def _tally(outcome: Outcome, drawn: int) -> Tally:
    violation = outcome.violation
    failure = Failure(seed=outcome.seed, violation=violation, drawn=drawn) if violation else None
    return Tally(
        seeds=1,
        incidents=outcome.incidents,
        crashes=outcome.crashes,
        processes=outcome.lives,
        virtual_ms=outcome.virtual_ms,
        faults=outcome.faults,
        states=outcome.states,
        failures=[failure] if failure is not None else [],
    )


def _shrunk(failure: Failure) -> Failure:
    with quiet():
        faults = shortest(draw(failure.seed), failure.violation.invariant)
    schedule = [str(fault) for fault in faults]
    return msgspec.structs.replace(failure, schedule=schedule)


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return dict(sorted((Counter(one) + Counter(other)).items()))
