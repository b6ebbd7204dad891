"""Events go out when they are due, or as fast as they are taken."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from rollbackd.app.generating.schedule import Timed
from rollbackd.app.generating.sending import Outgoing, send_all
from rollbackd.clock import ManualClock


def event(number: int, *, region: str = "eu") -> dict[str, Any]:
    return {"event": "answer.served", "service": "rag", "region": region, "number": number}


class Noted:
    """An outlet that writes down what it got, and when."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._started = clock.now()
        self.batches: list[tuple[int, list[int]]] = []
        self.keys: list[bytes] = []

    async def send(self, batch: Sequence[Outgoing]) -> None:
        numbers = [orjson.loads(each.value)["number"] for each in batch]
        self.batches.append((self._clock.now() - self._started, numbers))
        self.keys += [each.key for each in batch]


async def test_fast_is_in_batches_without_waiting() -> None:
    """Whatever the times are; each is keyed by its scope."""
    clock = ManualClock()
    noted = Noted(clock)
    stream: list[Timed] = [
        (number * 60_000, event(number, region="us" if number else "eu")) for number in range(2_500)
    ]
    assert await send_all(iter(stream), noted, clock=clock, in_real_time=False) == 2_500
    assert [len(numbers) for _, numbers in noted.batches] == [1_000, 1_000, 500]
    assert noted.keys[:2] == [b"rag/eu", b"rag/us"]


async def test_real_time_waits_until_each_is_due() -> None:
    """None goes out early, and none more than a moment late; close ones go together."""
    clock = ManualClock()
    noted = Noted(clock)
    times = [0, 10, 50, 1_000, 1_020, 5_000]
    stream = [(7_000_000 + at_ms, event(number)) for number, at_ms in enumerate(times)]
    work = asyncio.ensure_future(send_all(iter(stream), noted, clock=clock, in_real_time=True))
    while not work.done():
        await asyncio.sleep(0)
        clock.advance(10)
    assert work.result() == len(times)
    sent = {number: at_ms for at_ms, numbers in noted.batches for number in numbers}
    assert all(0 <= sent[number] - at_ms <= 1_200 for number, at_ms in enumerate(times))
    assert [numbers for _, numbers in noted.batches] == [[0], [1, 2], [3, 4], [5]]


async def test_nothing_is_nothing() -> None:
    """No batch is sent for a stream without events."""
    noted = Noted(ManualClock())
    assert await send_all(iter([]), noted, clock=ManualClock(), in_real_time=True) == 0
    assert noted.batches == []
