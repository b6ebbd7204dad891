"""Plays the recording into the daemon, at the daemon's own pace and under the daemon's controls."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from rollbackd.app.generating.plans import Plan
from rollbackd.app.generating.schedule import Timed
from rollbackd.app.generating.stream import events
from rollbackd.cli.answers import ShownControl, ShownControls
from rollbackd.cli.client import Api, RefusedError, UnreachableError, convert
from rollbackd.cli.demo.application import Application

_TICK_SECONDS: Final = 0.1
#: Requests that the shares are of.
_RECENT: Final = 600
_REQUESTS: Final = frozenset({"answer.served", "request.shed"})


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
    """The users, the service that they use, and the pipeline that rolls it out."""

    api: Api
    plan: Plan
    clock: DaemonTime
    application: Application = field(default_factory=Application)
    controls: dict[str, ShownControl] = field(default_factory=dict)
    #: Events that the daemon has taken, by type.
    sent: Counter[str] = field(default_factory=Counter)
    refusals: int = 0
    started_at_ms: int = 0
    #: Arm and whether it was shed, of the last requests.
    _recent: deque[tuple[str, bool]] = field(default_factory=lambda: deque(maxlen=_RECENT))

    @property
    def recorded_ms(self) -> int:
        """How far the recording has been played."""
        return self.clock.now() - self.started_at_ms if self.started_at_ms else 0

    def share(self, arm: str) -> float:
        """The share of the recent requests that went to an arm."""
        return sum(a == arm for a, _ in self._recent) / max(1, len(self._recent))

    def shed_share(self) -> float:
        """The share of the recent requests that the throttle turned away."""
        return sum(shed for _, shed in self._recent) / max(1, len(self._recent))

    async def play(self) -> None:
        """Play until cancelled or over; what the daemon does not take goes with what is next."""
        self.started_at_ms = self.clock.now()
        recording = _Recording(events(self.plan, self.application.read))
        waiting: list[dict[str, Any]] = []
        while not recording.over:
            try:
                await self.obey()
                waiting += recording.until(self.plan.start_ms + self.recorded_ms)
                await self._send(waiting)
                waiting = []
            except (UnreachableError, RefusedError):
                self.refusals += 1
            await asyncio.sleep(_TICK_SECONDS)

    async def obey(self) -> None:
        """Read the controls, as an application does before it serves."""
        scope = self.plan.scopes[0]
        answer = await self.api.get(f"/api/v1/controls/{scope.service}/{scope.region}")
        self.controls = convert(answer, ShownControls).controls
        self.application.controls = {name: c.value for name, c in self.controls.items()}

    async def _send(self, batch: list[dict[str, Any]]) -> None:
        if not batch:
            return
        # A recording was made once and happens now.
        later = (self.started_at_ms - self.plan.start_ms) / 1_000
        lines = [orjson.dumps({**event, "ts": round(event["ts"] + later, 3)}) for event in batch]
        await self.api.send_lines("/api/v1/events", b"\n".join(lines))
        self.sent.update(event["event"] for event in batch)
        requests = (event for event in batch if event["event"] in _REQUESTS)
        self._recent += [(each["arm"], each["event"] == "request.shed") for each in requests]


class _Recording:
    """A stream that is taken as far as a time, and no further: what is later is not made yet."""

    def __init__(self, stream: Iterator[Timed]) -> None:
        self._stream = stream
        self._next: Timed | None = None
        self.over = False

    def until(self, time_ms: int) -> Iterator[dict[str, Any]]:
        while not self.over:
            if self._next is None:
                self._next = next(self._stream, None)
                self.over = self._next is None
            elif self._next[0] > time_ms:
                return
            else:
                yield self._next[1]
                self._next = None
