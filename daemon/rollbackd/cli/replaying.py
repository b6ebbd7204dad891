"""`rollbackd replay`: plays a recorded file into a running daemon."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.console import Console
from rich.progress import Progress

from rollbackd.cli.answers import DaemonStatus
from rollbackd.cli.client import Api, Connection, RefusedError, call, convert
from rollbackd.cli.options import DEFAULT_URL, CaFileOption, TokenFileOption, UrlOption
from rollbackd.cli.phrases import span
from rollbackd.cli.recorded import RecordedEvent, Recording, open_recording

_TICK_SECONDS: Final = 0.1
_BATCH: Final = 1_000
_TRIES: Final = 10


def replay(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recorded events, one JSON a line.")],
    speed: Annotated[
        float, typer.Option("--speed", min=0.01, max=10_000, help="Times as fast as recorded.")
    ] = 1.0,
    keep_times: Annotated[
        bool, typer.Option("--keep-times", help="Send times as recorded instead of from now on.")
    ] = False,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Play recorded events into a running daemon, which acts on them as if they happened now.

    Times are moved so that the recording begins now, and shortened by --speed. Use a daemon that
    observes (`mode: observe` in the decision tree) or whose levers may move.
    """
    recording = open_recording(file)
    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    started = time.monotonic()
    player = _Player(recording, speed=speed, keep_times=keep_times)
    call(connection, player.play)
    print(f"sent {recording.count} events in {span((time.monotonic() - started) * 1_000)}")


class _Player:
    def __init__(self, recording: Recording, *, speed: float, keep_times: bool) -> None:
        self._recording = recording
        self._speed = speed
        self._keep_times = keep_times

    async def play(self, api: Api) -> None:
        """Send every event when it is due."""
        status = convert(await api.get("/api/v1/status"), DaemonStatus)
        start_ms, started = status.now_ms, time.monotonic()
        batch: list[bytes] = []
        with Progress(console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("replay", total=self._recording.count)
            for event in self._recording.events():
                due = started + event.offset_ms / 1_000 / self._speed
                early = due - time.monotonic()
                if batch and (early > 0 or len(batch) >= _BATCH):
                    await _send(api, batch)
                    progress.advance(bar, len(batch))
                    batch = []
                if early > 0:
                    # A little late is fine, and makes batches out of single events.
                    await asyncio.sleep(early + _TICK_SECONDS)
                batch.append(self._line(event, start_ms))
            await _send(api, batch)

    def _line(self, event: RecordedEvent, start_ms: int) -> bytes:
        if self._keep_times:
            return orjson.dumps(event.event)
        at_ms = start_ms + event.offset_ms / self._speed
        return orjson.dumps({**event.event, "ts": round(at_ms) / 1_000})


async def _send(api: Api, batch: list[bytes]) -> None:
    for tries_left in range(_TRIES - 1, -1, -1):
        try:
            await api.send_lines("/api/v1/events", b"\n".join(batch))
        except RefusedError as refused:
            # 503 is "not now": the daemon has not taken any of it.
            if refused.status != 503 or not tries_left:
                raise
            await asyncio.sleep(1.0)
        else:
            return
