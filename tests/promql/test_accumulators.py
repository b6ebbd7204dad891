"""Accumulators on long windows: they remember little, and are right all the same."""

import math
import random
from collections.abc import Callable, Sequence

import pytest

from rollbackd.model.labels import Labels
from rollbackd.promql.accumulators import Accumulator, Lost
from rollbackd.promql.range_functions import RANGE_FUNCTIONS
from rollbackd.promql.windows import Window

STREAMS: dict[str, Callable[[random.Random, int], float]] = {
    "random": lambda rng, _: rng.random(),
    "rising": lambda _, n: float(n),
    "falling": lambda _, n: -float(n),
    "constant": lambda _, __: 200.0,
    "two values": lambda rng, _: float(rng.random() < 0.02),
    "steps": lambda _, n: float(n // 700),
    "waves": lambda _, n: math.sin(n / 100),
    "spikes": lambda rng, n: 1e12 if n % 400 == 0 else rng.random(),
    "with NaN": lambda rng, _: math.nan if rng.random() < 0.1 else rng.random(),
    "with infinities": lambda rng, n: math.inf if n % 900 == 0 else rng.random(),
}
FUNCTIONS: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("sum_over_time", ()), ("avg_over_time", ()), ("count_over_time", ()), ("min_over_time", ()),
    ("max_over_time", ()), ("stddev_over_time", ()), ("stdvar_over_time", ()),
    ("quantile_over_time", (0.5,)), ("quantile_over_time", (0.95,)), ("quantile_over_time", (0,)),
    ("quantile_over_time", (1,)), ("quantile_over_time", (0.001,)),
)  # fmt: skip
LENGTH, WIDEST = 3_000, 800
NO_LABELS: Labels = ()


def plainly(name: str, parameters: tuple[float, ...], values: Sequence[float]) -> float:
    """The function as it is defined, on all samples."""
    window = Window(
        NO_LABELS, NO_LABELS, range(len(values)), values,
        low=0, high=len(values), start_ms=0, end_ms=len(values),
    )  # fmt: skip
    found = RANGE_FUNCTIONS[name].summarize(window, *parameters)
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("name", "parameters"), FUNCTIONS)
def test_a_long_window_that_moves(name: str, parameters: tuple[float, ...], stream: str) -> None:
    """Samples come and go in batches, the window grows and shrinks; the number is that of all."""
    rng = random.Random(stream)
    values = [STREAMS[stream](rng, n) for n in range(LENGTH)]
    make = RANGE_FUNCTIONS[name].accumulator
    assert make is not None
    accumulator: Accumulator = make(*parameters)
    low, high, follows = 0, 0, False
    while high < LENGTH:
        before = low, high
        high = min(LENGTH, high + rng.randrange(1, 30))
        low = max(low, min(high - 1, high - rng.randrange(10, WIDEST)))
        inside = values[low:high]
        found: float | None = None
        if follows and low <= before[1]:
            try:
                found = accumulator.move(
                    values[before[1] : high], values[before[0] : low], high - low
                )
            except Lost:
                follows = False
        if found is None:
            try:
                found = accumulator.restart(inside)
            except Lost:
                follows = False
                continue
        follows = True
        wanted = plainly(name, parameters, inside)
        assert found == pytest.approx(wanted, rel=1e-12, abs=0, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "parameters", "stream"),
    [
        (name, parameters, stream)
        for name, parameters in FUNCTIONS
        for stream in ("random", "rising", "falling", "constant", "two values")
        # a deviation starts anew whenever the mean leaves its centre: by design
        if not (name.startswith("std") and stream in {"rising", "falling"})
    ],
)
def test_it_seldom_starts_anew(name: str, parameters: tuple[float, ...], stream: str) -> None:
    """A window that moves on by one sample at a time is read again once in a while only."""
    rng = random.Random(stream)
    values = [STREAMS[stream](rng, n) for n in range(LENGTH)]
    make = RANGE_FUNCTIONS[name].accumulator
    assert make is not None
    accumulator: Accumulator = make(*parameters)
    accumulator.restart(values[:WIDEST])
    anew = 0
    for end in range(WIDEST, LENGTH):
        try:
            accumulator.move(values[end : end + 1], values[end - WIDEST : end - WIDEST + 1], WIDEST)
        except Lost:
            anew += 1
            accumulator.restart(values[end - WIDEST + 1 : end + 1])
    assert anew <= (LENGTH - WIDEST) // 20
