"""`rollbackd replay`: plays a recorded file into a running daemon."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress

from rollbackd.cli.answers import DaemonStatus
from rollbackd.cli.client import Api, Connection, RefusedError, call, convert
from rollbackd.cli.options import DEFAULT_URL, CaFileOption, TokenFileOption, UrlOption
from rollbackd.cli.phrases import counted, span
from rollbackd.cli.record_shapes import called, named_mapping
from rollbackd.cli.recorded import (
    MappedTimes,
    NativeTimes,
    RecordedEvent,
    Recording,
    open_recording,
)
from rollbackd.settings import default_settings, load_settings

_TICK_SECONDS: Final = 0.1
_BATCH: Final = 1_000
_TRIES: Final = 10


def replay(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recorded events, one JSON a line.")],
    speed: Annotated[
        float,
        typer.Option(
            "--speed", metavar="TIMES", min=0.01, max=10_000, help="Times as fast as recorded."
        ),
    ] = 1.0,
    keep_times: Annotated[
        bool, typer.Option("--keep-times", help="Send times as recorded instead of from now on.")
    ] = False,
    mapping: Annotated[
        str,
        typer.Option(
            "--mapping",
            metavar="NAME",
            help="Events are of the shape of this field mapping, which the daemon has too: a"
            " shipped one, one of the config's, or a file.",
        ),
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="The config whose `mappings:` has it."),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Play recorded events into a running daemon, which acts on them as if they happened now.

    Times are moved so that the recording begins now, and shortened by --speed. Use a daemon that
    observes (`mode: observe` in the decision tree) or whose levers may move.
    """
    if config is not None and not mapping:
        raise typer.BadParameter("--config is for --mapping; add it")
    settings = default_settings() if config is None else load_settings(config)
    times = MappedTimes(named_mapping(mapping, settings)) if mapping else NativeTimes()
    recording = open_recording(file, times)
    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    started = time.monotonic()
    query = {"mapping": called(mapping)} if mapping else {}
    player = _Player(recording, speed=speed, keep_times=keep_times, query=query)
    call(connection, player.play)
    print(f"sent {recording.count} events in {span((time.monotonic() - started) * 1_000)}")
    if recording.ignored:
        print(f"passed over {counted(recording.ignored, 'event')} that the mapping does not take")


class _Player:
    def __init__(
        self, recording: Recording, *, speed: float, keep_times: bool, query: dict[str, str]
    ) -> None:
        self._recording = recording
        self._speed = speed
        self._keep_times = keep_times
        self._query = query

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
                    await self._send(api, batch)
                    progress.advance(bar, len(batch))
                    batch = []
                if early > 0:
                    # A little late is fine, and makes batches out of single events.
                    await asyncio.sleep(early + _TICK_SECONDS)
                batch.append(self._line(event, start_ms))
            await self._send(api, batch)

    def _line(self, event: RecordedEvent, start_ms: int) -> bytes:
        if self._keep_times:
            return event.line.strip()
        at_ms = start_ms + event.offset_ms / self._speed
        return self._recording.times.moved(
            event.line, lambda time_ms: at_ms - (event.time_ms - time_ms) / self._speed
        )

    async def _send(self, api: Api, batch: list[bytes]) -> None:
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                await api.send_lines("/api/v1/events", b"\n".join(batch), **self._query)
            except RefusedError as refused:
                # 503 is "not now": the daemon has not taken any of it.
                if refused.status != 503 or not tries_left:
                    raise
                await asyncio.sleep(1.0)
            else:
                return
