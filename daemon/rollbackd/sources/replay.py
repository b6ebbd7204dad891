"""A recorded file of events, fed again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from rollbackd.clock import Clock
from rollbackd.errors import TemporaryError
from rollbackd.events.record import decode_record
from rollbackd.model.events import Batch, Rejected
from rollbackd.ports import Sink

SOURCE: Final = "replay"
_CHUNK_BYTES: Final = 1 << 20
_LETTER_BYTES: Final = 65_536


async def replay(path: Path, sink: Sink, *, clock: Clock, speed: float | None = None) -> int:
    """Feed each line of an NDJSON file, native event or Alertmanager body; returns how many.

    `speed` 1 keeps the recorded pace, 60 makes a minute a second, None goes as fast as the sink
    takes it. Times stay as they were recorded. A line that cannot be decoded is buried with
    `file:line`. Raises OSError when the file cannot be read.
    """
    if speed is not None and speed <= 0:
        raise ValueError(f"speed `{speed}` must be above 0")
    pace = None if speed is None else _Pace(clock, speed)
    fed = 0
    async for number, line in _lines(path):
        try:
            batch = decode_record(line, now_ms=clock.now())
        except Rejected as rejected:
            letter, reason = line[:_LETTER_BYTES], f"{path}:{number}: {rejected}"
            await _persist(clock, partial(sink.bury, SOURCE, letter, reason))
            continue
        if pace is not None:
            await pace.wait_for(batch)
        await _persist(clock, partial(sink.ingest, batch, source=SOURCE))
        fed += 1
    return fed


class _Pace:
    """Holds each batch back until its time has come, measured from the first one.

    A batch that was recorded late, or took the sink long, does not delay those after it.
    """

    def __init__(self, clock: Clock, speed: float) -> None:
        self._clock = clock
        self._speed = speed
        self._origin: tuple[int, int] | None = None

    async def wait_for(self, batch: Batch) -> None:
        """Return when the batch is due; one without a time is due at once."""
        recorded_ms = _time_of(batch)
        if recorded_ms is None:
            return
        if self._origin is None:
            self._origin = (self._clock.now(), recorded_ms)
        began_ms, first_ms = self._origin
        due_ms = began_ms + (recorded_ms - first_ms) / self._speed
        if (wait_ms := due_ms - self._clock.now()) > 0:
            await self._clock.sleep(wait_ms)


def _time_of(batch: Batch) -> int | None:
    times = [
        *(sample.time_ms for sample in batch.samples),
        *(seen.time_ms for seen in batch.pins),
        *(known.recorded_at_ms for known in batch.known_good),
        *(fact.time_ms for fact in batch.facts),
        *(change.time_ms for change in batch.changes),
        *(alert.ends_at_ms or alert.starts_at_ms for alert in batch.alerts),
    ]
    return max(times, default=None)


async def _persist(clock: Clock, act: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await act()
        except TemporaryError as full:
            await clock.sleep(full.delay_ms)


async def _lines(path: Path) -> AsyncIterator[tuple[int, bytes]]:
    """Lines with their numbers, blank ones left out; the file is read off the event loop."""
    file = await asyncio.to_thread(path.open, "rb")
    try:
        number = 0
        while chunk := await asyncio.to_thread(file.readlines, _CHUNK_BYTES):
            for line in chunk:
                number += 1
                if text := line.strip():
                    yield number, text
    finally:
        file.close()
