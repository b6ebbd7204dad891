"""The virtual loop: time moves by itself, the order is drawn, nothing gets stuck unnoticed."""

import asyncio
import random

import pytest

from rollbackd.app.simulation.loop import START_MS, StuckError, VirtualClock, VirtualLoop


def loop_of(seed: int = 1) -> VirtualLoop:
    return VirtualLoop(random.Random(seed))


def test_time_moves_when_nobody_has_anything_to_do() -> None:
    """An hour takes no time, and a deadline is met exactly."""
    loop = loop_of()

    async def wait() -> list[float]:
        await asyncio.sleep(3_600)
        slept = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(60)
        return [slept, loop.time()]

    assert loop.run_until_complete(wait()) == [3_600, 3_605]
    loop.close()


@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_drawn_from_the_seed(seed: int) -> None:
    """What is ready at once runs in an order that the same seed repeats."""

    def order(loop: VirtualLoop) -> list[int]:
        ran: list[int] = []

        async def note(number: int) -> None:
            await asyncio.sleep(0)
            ran.append(number)

        async def all_at_once() -> None:
            await asyncio.gather(*(note(number) for number in range(20)))

        loop.run_until_complete(all_at_once())
        loop.close()
        return ran

    drawn = order(loop_of(seed))
    assert drawn == order(loop_of(seed))
    assert sorted(drawn) == list(range(20)) != drawn


def test_waiting_for_ever_is_told() -> None:
    """Nothing can happen any more."""
    loop = loop_of()
    with pytest.raises(StuckError, match="everybody waits for ever"):
        loop.run_until_complete(asyncio.Event().wait())
    loop.close()


def test_turning_in_circles_is_told() -> None:
    """A loop that lets no time pass would never end."""
    loop = loop_of()

    async def circle() -> None:
        while True:  # noqa: ASYNC110  # the fault that is looked for
            await asyncio.sleep(0)

    with pytest.raises(StuckError, match="no time passed"):
        loop.run_until_complete(circle())
    loop.close()


def test_what_nobody_handled_is_kept() -> None:
    """A callback that raises does not go unnoticed."""
    loop = loop_of()

    async def fail_later() -> None:
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    loop.run_until_complete(fail_later())
    assert [type(context["exception"]) for context in loop.unhandled] == [ZeroDivisionError]
    loop.close()


def test_the_wall_clock_may_be_set() -> None:
    """Sleepers do not notice."""
    loop = loop_of()
    clock = VirtualClock(loop)

    async def sleep() -> tuple[int, float]:
        clock.skew_ms = -60_000
        await clock.sleep(1_500)
        return clock.now() - START_MS, clock.monotonic()

    assert loop.run_until_complete(sleep()) == (-58_500, 1.5)
    loop.close()
