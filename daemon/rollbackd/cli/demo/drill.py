"""The plot of the demo: a rollout goes wrong, and nobody touches anything.

Everything here plays the pipeline or the service. The daemon is not told what is coming: it gets
intents, the pipeline's own events and traffic, as it would from anybody.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollbackd.app.generating.versions import CONTROLS
from rollbackd.cli.answers import DaemonStatus
from rollbackd.cli.client import Api, Connection, convert
from rollbackd.cli.demo.application import FLAG
from rollbackd.cli.demo.daemon_process import DaemonProcess
from rollbackd.cli.demo.observer import Observer
from rollbackd.cli.demo.recording import CANARY_SHARE, PLAN
from rollbackd.cli.demo.scene import Scene
from rollbackd.cli.demo.traffic import DaemonTime, Traffic
from rollbackd.cli.failures import FailureError
from rollbackd.model.incidents import State
from rollbackd.ports import IncidentDetail

SPEED: Final = 40.0
SCOPE: Final = PLAN.scopes[0]
BRANCH: Final = PLAN.scenario.branch
THRESHOLD: Final = 0.15
#: For everything, so that a broken daemon cannot hang whoever runs the demo.
DEADLINE_SECONDS: Final = 75.0

_READY_SECONDS: Final = 20.0
_FRAME_SECONDS: Final = 0.1
#: States in which the drill is over.
_OVER: Final = frozenset({State.CLOSED, State.OBSERVED, State.ABORTED, State.NEEDS_HUMAN})

Show = Callable[[Scene], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the drill ended; `detail` is None when no incident was opened in time."""

    detail: IncidentDetail | None
    #: Recorded time at which the canary began to take traffic.
    canary_at_ms: int
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether the right branch ran to its end."""
        incident = self.detail.incident if self.detail else None
        return (
            not self.problem
            and incident is not None
            and incident.branch == BRANCH
            and incident.state is State.CLOSED
        )


class Drill:
    """One run of the demo against one daemon."""

    def __init__(self, folder: Path, show: Show) -> None:
        self.daemon = DaemonProcess(folder, speed=SPEED)
        self.scene = Scene(scope=str(SCOPE), speed=SPEED, threshold=THRESHOLD)
        self._show = show
        self._canary_at_ms = 0
        self._started = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> Ending:
        """Play it. Never longer than the deadline; the daemon is gone afterwards."""
        self._tell(
            f"starting a real daemon with the shipped rules; its clock runs {SPEED:g} times as fast"
        )
        try:
            async with (
                asyncio.timeout(DEADLINE_SECONDS),
                self.daemon,
                Api(Connection(url=self.daemon.url)) as api,
            ):
                await self.daemon.wait_ready(api, seconds=_READY_SECONDS)
                await self._play(api)
        except TimeoutError:
            return self._ending(f"not closed within {DEADLINE_SECONDS:g} s")
        except FailureError as failure:
            return self._ending(str(failure))
        return self._ending()

    async def _play(self, api: Api) -> None:
        traffic = Traffic(api, PLAN, await _clock_of(api))
        observer = Observer(api, traffic, self.scene)
        await self._set_intents(api)
        self._tasks = [asyncio.create_task(work) for work in (traffic.play(), observer.watch())]
        try:
            await self._healthy(traffic)
            await self._canary(api, traffic)
            await self._rollback()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await traffic.obey()
        await observer.look()
        self._draw()

    async def _set_intents(self, api: Api) -> None:
        self._tell("the pipeline sets the switches: all traffic on the baseline, index docs_vA")
        for name, value in CONTROLS.items():
            await _put_intent(api, name, value)
        self.scene.before = dict(CONTROLS)

    async def _healthy(self, traffic: Traffic) -> None:
        self._tell("healthy traffic on the baseline; its window becomes the known good")
        await self._until(lambda: traffic.sent["baseline.pinned"] > 0)
        self._tell("known good recorded, before the rollout: pins, switches, baseline window")
        await self._until(lambda: traffic.recorded_ms >= PLAN.rollout_after_ms)

    async def _canary(self, api: Api, traffic: Traffic) -> None:
        weights: dict[str, object] = {
            "baseline_weight": 1 - CANARY_SHARE,
            "canary_weight": CANARY_SHARE,
            "global_off": False,
        }
        await _put_intent(api, FLAG, weights)
        self._canary_at_ms = traffic.clock.now()
        self._tell(f"rollout: a new prompt pack takes {CANARY_SHARE:.0%} of the users")
        self.scene.before[FLAG] = weights
        await self._until(lambda: self.scene.detail is not None)

    async def _rollback(self) -> None:
        assert self.scene.detail is not None
        self._tell(f"rollbackd opened incident {self.scene.detail.incident.id}; nobody helps")
        await self._until(lambda: self._state() is State.WATCHING or self._over())
        if not self._over():
            self._tell("rolled back; watching until every exit target has held for ten minutes")
        await self._until(self._over)
        if self._state() is State.CLOSED:
            self._tell("green for the whole hold: everything temporary was given back, audited")

    async def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            self.daemon.raise_if_ended()
            for task in self._tasks:
                if task.done():
                    task.result()
            self._draw()
            await asyncio.sleep(_FRAME_SECONDS)

    def _state(self) -> State | None:
        return self.scene.detail.incident.state if self.scene.detail else None

    def _over(self) -> bool:
        return self._state() in _OVER

    def _tell(self, story: str) -> None:
        self.scene.story = story
        self._draw()

    def _draw(self) -> None:
        self.scene.elapsed_seconds = time.monotonic() - self._started
        self._show(self.scene)

    def _ending(self, problem: str = "") -> Ending:
        return Ending(detail=self.scene.detail, canary_at_ms=self._canary_at_ms, problem=problem)


async def _clock_of(api: Api) -> DaemonTime:
    asked = time.monotonic()
    status = convert(await api.get("/api/v1/status"), DaemonStatus)
    # The answer is as old as half of the round trip.
    return DaemonTime(status.now_ms, (asked + time.monotonic()) / 2, SPEED)


async def _put_intent(api: Api, name: str, value: dict[str, object]) -> None:
    path = f"/api/v1/controls/{SCOPE.service}/{SCOPE.region}/{name}"
    await api.put(path, {"value": value})
