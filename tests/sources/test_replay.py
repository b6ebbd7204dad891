"""A recorded file, fed again."""

import asyncio
from pathlib import Path

import pytest

from rollbackd.clock import ManualClock, SystemClock
from rollbackd.sources.replay import replay
from tests.events.bodies import NOW, encoded, lines, native, notification
from tests.services.polling import eventually
from tests.sources.conftest import RecordingSink, event


def recording(tmp_path: Path, *seconds: float) -> Path:
    """Events at these seconds."""
    path = tmp_path / "rollout.ndjson"
    path.write_bytes(lines(*(native(ts=NOW / 1000 + s, pins=..., code=...) for s in seconds)))
    return path


async def test_every_line_is_fed_in_order(tmp_path: Path) -> None:
    """Native events and notifications, one a line; blank lines count, but hold nothing."""
    path = tmp_path / "rollout.ndjson"
    body = [event(1), b"", encoded(notification()), b"  ", event(2)]
    path.write_bytes(b"\n".join(body) + b"\n")
    sink = RecordingSink()
    assert await replay(path, sink, clock=SystemClock()) == 3
    assert [source for source, _ in sink.batches] == ["replay"] * 3
    assert sink.numbers("replay") == [1, 2]
    assert len(sink.batches[1][1].alerts) == 1


async def test_a_bad_line_is_buried_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "rollout.ndjson"
    path.write_bytes(event(1) + b"\n\n{broken\n" + event(2))
    sink = RecordingSink()
    assert await replay(path, sink, clock=SystemClock()) == 2
    ((source, body, reason),) = sink.buried
    assert (source, body) == ("replay", b"{broken")
    assert reason.startswith(f"{path}:3: not JSON")


async def test_the_recorded_pace_is_kept(tmp_path: Path) -> None:
    """At speed 60 a minute is a second; an event that was recorded late waits for nobody."""
    clock = ManualClock(NOW)
    sink = RecordingSink()
    path = recording(tmp_path, 0, 60, 30, 120)
    task = asyncio.create_task(replay(path, sink, clock=clock, speed=60))

    async def fed(count: int) -> None:
        async def enough() -> bool:
            return len(sink.batches) == count

        await eventually(enough, within_seconds=5, every_seconds=0.001)

    await fed(1)
    clock.advance(999)
    await asyncio.sleep(0)
    assert len(sink.batches) == 1
    clock.advance(1)
    await fed(3)
    clock.advance(1_000)
    assert await task == 4
    assert [b.samples[0].time_ms - NOW for _, b in sink.batches] == [0, 60_000, 30_000, 120_000]


async def test_a_full_sink_is_waited_for(tmp_path: Path) -> None:
    sink = RecordingSink()
    sink.full = True
    task = asyncio.create_task(replay(recording(tmp_path, 0, 1), sink, clock=SystemClock()))

    async def refused() -> bool:
        return sink.refusals > 2

    await eventually(refused, within_seconds=5)
    sink.full = False
    assert await task == 2
    assert len(sink.batches) == 2


@pytest.mark.parametrize("speed", [0, -1])
async def test_a_speed_that_stands_still_is_refused(tmp_path: Path, speed: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        await replay(recording(tmp_path, 0), RecordingSink(), clock=SystemClock(), speed=speed)


async def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await replay(tmp_path / "none", RecordingSink(), clock=SystemClock())
