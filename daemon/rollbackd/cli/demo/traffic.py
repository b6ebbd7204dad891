"""Plays the recording through the application into the daemon, at the daemon's own pace."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rollbackd.cli.answers import ShownControl, ShownControls
from rollbackd.cli.client import Api, RefusedError, UnreachableError, convert
from rollbackd.cli.demo.application import Application
from rollbackd.cli.demo.recording import Request, Rollout, record
from rollbackd.cli.demo.wire import encode
from rollbackd.model.labels import Scope

_TICK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class DaemonTime:
    """The daemon's clock as seen from here: what it said once, and how fast it runs."""

    now_ms: int
    said_at: float
    speed: float

    def now(self) -> int:
        """The daemon's wall time."""
        return self.now_ms + int((time.monotonic() - self.said_at) * 1_000 * self.speed)


@dataclass(slots=True)
class Traffic:
    """The users, and the service that they use."""

    api: Api
    scope: Scope
    clock: DaemonTime
    rollout: Rollout
    application: Application = field(default_factory=Application)
    controls: dict[str, ShownControl] = field(default_factory=dict)
    events_sent: int = 0
    batches_lost: int = 0
    started_at_ms: int = 0

    @property
    def recorded_ms(self) -> int:
        """How far the recording has been played."""
        return self.clock.now() - self.started_at_ms if self.started_at_ms else 0

    async def play(self) -> None:
        """Play until cancelled; a lost batch or read is counted, as users do not wait."""
        self.started_at_ms = self.clock.now()
        requests = record(self.rollout)
        waiting = next(requests)
        while True:
            due, waiting = _due(requests, waiting, self.recorded_ms)
            try:
                await self.obey()
                await self._send(due)
            except (UnreachableError, RefusedError):
                self.batches_lost += 1
            await asyncio.sleep(_TICK_SECONDS)

    async def obey(self) -> None:
        """Read the controls, as an application does before it serves."""
        answer = await self.api.get(f"/api/v1/controls/{self.scope.service}/{self.scope.region}")
        self.controls = convert(answer, ShownControls).controls
        self.application.controls = {name: c.value for name, c in self.controls.items()}

    async def _send(self, due: list[Request]) -> None:
        if not due:
            return
        served = [self.application.serve(request) for request in due]
        lines = encode(served, scope=self.scope, started_at_ms=self.started_at_ms)
        await self.api.send_lines("/api/v1/events", lines)
        self.events_sent += len(served)


def _due(
    requests: Iterator[Request], waiting: Request, now_ms: int
) -> tuple[list[Request], Request]:
    due = []
    while waiting.at_ms <= now_ms:
        due.append(waiting)
        waiting = next(requests)
    return due, waiting
