"""Delta debugging over schedules."""

from collections.abc import Sequence

import pytest

from rollbackd.app.simulation.faults import Fault, FaultKind
from rollbackd.app.simulation.shrinking import minimized


def faults(count: int) -> list[Fault]:
    return [Fault(kind=FaultKind.CRASH, at_ms=number) for number in range(count)]


@pytest.mark.parametrize("needed", [set(), {3}, {0, 19}, {2, 7, 11, 13}, set(range(20))])
def test_what_is_needed_is_left(needed: set[int]) -> None:
    """And nothing else, however it is spread."""

    def fails(left: Sequence[Fault]) -> bool:
        return needed <= {fault.at_ms for fault in left}

    assert {fault.at_ms for fault in minimized(faults(20), fails)} == needed


def test_it_stops_when_it_may_not_go_on() -> None:
    """The shortest one so far has to do."""
    tries = 0

    def fails(left: Sequence[Fault]) -> bool:
        nonlocal tries
        tries += 1
        return Fault(kind=FaultKind.CRASH, at_ms=3) in left

    left = minimized(faults(64), fails, lambda: tries < 4)
    assert 1 < len(left) < 64


def test_a_fault_reads_as_a_sentence() -> None:
    """Where it strikes, what it is, for how long."""
    crash = Fault(
        kind=FaultKind.CRASH_AFTER, point="store.advance", nth=7, for_ms=8_000, elsewhere=True
    )
    assert str(crash) == "at call 7 of store.advance crash_after 8 s then the other replica"
    assert str(Fault(kind=FaultKind.SILENCE, at_ms=1_500, for_ms=9_000)) == "at 1.5 s silence 9 s"
