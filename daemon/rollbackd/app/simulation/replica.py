"""One life of one process: the production parts, wired as the daemon wires them."""

import asyncio
from typing import TYPE_CHECKING, Final, cast

from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.evaluation import EvaluationLoop
from rollbackd.app.intake import Intake
from rollbackd.app.recovery import Recovery
from rollbackd.app.simulation.board import WINDOW_MS, Board
from rollbackd.app.simulation.faults import PAGE, PAGE_TO_DECIDE, FaultKind
from rollbackd.app.simulation.loop import VirtualClock
from rollbackd.app.simulation.service import pins_seen
from rollbackd.app.simulation.silence import SilentTelemetry
from rollbackd.app.simulation.tracks import Invariant
from rollbackd.app.simulation.wire import Wire
from rollbackd.errors import RollbackdError, TemporaryError
from rollbackd.evidence.audit import IncidentAuditor
from rollbackd.evidence.capture import EvidenceCapture
from rollbackd.evidence.pins import PinsTable
from rollbackd.incidents.runner import Runner, Surroundings
from rollbackd.levers import build_levers
from rollbackd.model.controls import Control
from rollbackd.model.events import PinsSeen
from rollbackd.model.incidents import Confirmation, Incident, JournalRecord, SeriesWindow, State
from rollbackd.model.labels import Scope
from rollbackd.model.policy import FreezeProbe
from rollbackd.model.triggers import TargetReading
from rollbackd.ports import Controls, Store
from rollbackd.reconciliation.unlisted import Unlisted
from rollbackd.settings import ScopeLabels
from rollbackd.triggers.engine import Engine

if TYPE_CHECKING:
    from rollbackd.app.simulation.world import World

_TELEMETRY: Final = SilentTelemetry()
_BEAT_MS: Final = 4_000
_RESTART_MS: Final = 2_000
_ADOPTION_EVERY: Final = 3


class Life:
    """From the start of a process to its end. Only `world` outlives it."""

    def __init__(self, world: "World", name: str, skew_ms: int) -> None:
        self.name = name
        self.number = world.lives
        self.dead = False
        self.retired = False
        #: Since when this process knows of a pause, by its own wall clock.
        self.paused_since_ms: int | None = None
        #: What was read last of each control, with a number that grows.
        self.last_seen: dict[tuple[Scope, str], tuple[int, Control]] = {}
        self.clock = VirtualClock(world.loop)
        self.clock.skew_ms = skew_ms
        self._world = world
        self._awake = asyncio.Event()
        self._awake.set()
        self.store = cast("Store", Wire(world, self, world.store, "store"))
        self.controls = cast("Controls", Wire(world, self, world.controls, "targets"))
        self._build()
        self._task = asyncio.ensure_future(self._run())

    def _build(self) -> None:
        world = self._world
        pins = PinsTable(_TELEMETRY)
        for service in world.services:
            seen = pins_seen(service.plan)
            pins.note(PinsSeen(scope=service.plan.scope, arm="canary", pins=seen, time_ms=1))
        self.runner = self._runner(pins)
        self.board = Board(world.rules_firing)
        engine = cast("Engine", self.board)
        self.intake = Intake(
            engine=lambda: engine,
            store=self.store,
            pins=pins,
            clock=self.clock,
            telemetry=_TELEMETRY,
        )
        self.dispatcher = Dispatcher(
            store=self.store,
            runner=self.runner,
            clock=self.clock,
            telemetry=_TELEMETRY,
            tree=world.scenario.tree,
            scope_labels=ScopeLabels(),
            new_id=world.new_id,
            pins_of=pins.of,
            page=self.page,
        )
        self._evaluation = EvaluationLoop(
            engine=lambda: engine,
            intake=self.intake,
            dispatcher=self.dispatcher,
            clock=self.clock,
            telemetry=_TELEMETRY,
            coalesce_ms=100,
        )
        self._recovery = Recovery(
            store=self.store,
            controls=self.controls,
            dispatcher=self.dispatcher,
            runner=self.runner,
            notifier=self,
            clock=self.clock,
        )

    def _runner(self, pins: PinsTable) -> Runner:
        levers = build_levers(self.controls, self.clock)
        return Runner(
            Surroundings(
                store=self.store,
                levers=levers,
                capture=EvidenceCapture(
                    store=self.store,
                    controls=self.controls,
                    targets=self,
                    windows=_NoWindows(),
                    pins=pins,
                    clock=self.clock,
                ),
                probes=self,
                targets=self,
                auditor=IncidentAuditor(levers, self.store, self.controls, pins),
                reconciler=Unlisted(),
                reporter=self._world,
                notifier=self,
                clock=self.clock,
                telemetry=_TELEMETRY,
            )
        )

    def freeze(self) -> None:
        """The process stands still, as under SIGSTOP or a long pause of its machine."""
        self._awake.clear()

    def wake(self) -> None:
        """It goes on as if nothing had happened."""
        self._awake.set()

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return not self._awake.is_set()

    async def running(self) -> None:
        """Return once the process runs; never when it is dead."""
        await self._awake.wait()
        if self.dead:
            await asyncio.Event().wait()

    def seen(self, scope: Scope, control: Control) -> None:
        """This process has read a control."""
        number = self._world.next_number()
        self.last_seen[scope, control.name] = number, control

    async def bury(self) -> None:
        """Take the dead process off the loop."""
        self.dead = True
        self._awake.set()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.runner.stop()

    async def retire(self) -> None:
        """It learns that it lost the ownership, and hands over in good order."""
        self.retired = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.runner.stop()

    async def know_pause(self) -> None:
        """Read the pause, as housekeeping does every second."""
        self.dispatcher.pause = await self.store.pause()
        if self.dispatcher.pause is None:
            self.paused_since_ms = None
        elif self.paused_since_ms is None:
            self.paused_since_ms = self.clock.now()

    async def _run(self) -> None:
        try:
            await self._start()
            await self._serve()
        except RollbackdError:
            # the daemon never runs by halves: it ends, and the service manager starts it again
            self._world.restart(self, _RESTART_MS)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a defect
            self._world.referee.fail(Invariant.ALIVE, f"the main loop died of {error!r}")

    async def _serve(self) -> None:
        started = self.clock.monotonic()
        turn = 0
        while True:
            turn += 1
            try:
                await self.know_pause()
                await self._evaluation.turn()
                if turn % _ADOPTION_EVERY == 0:
                    await self._recovery.adopt()
            except TemporaryError:
                self.intake.look_again()
            if self.clock.monotonic() - started > WINDOW_MS / 1_000:
                self.dispatcher.forget_inherited()
            await self.clock.sleep(_BEAT_MS)

    async def _start(self) -> None:
        await self.intake.restore()
        await self.know_pause()
        await self._recovery.start()

    def read(self, incident: Incident, now_ms: int) -> list[TargetReading]:  # noqa: ARG002  # the port
        """See `ports.Targets`."""
        return self._world.readings(self, incident)

    async def confirm(self, incident: Incident, probe: FreezeProbe) -> Confirmation:
        """See `ports.FreezeProbes`."""
        await asyncio.sleep(0.01)
        await self.running()
        still = self._world.service_of(incident.scope).writers_stopped(self._world.now_ms)
        return Confirmation(probe=probe.kind, confirmed=still)

    async def page(self, incident: Incident, reason: str) -> None:
        """See `ports.Notifier`."""
        await self.running()
        waits = incident.state is State.NEEDS_HUMAN
        fault = self._world.call_faults.at(PAGE, *([PAGE_TO_DECIDE] if waits else []))
        if fault is not None:
            self._world.disturb(fault)
            if fault.kind is FaultKind.CRASH_AFTER:
                self._world.paged(incident, reason)
            self._world.crash(self, fault)
            await self.running()
        self._world.paged(incident, reason)

    def decided(self, incident: Incident, record: JournalRecord) -> None:
        """See `ports.Notifier`."""


class _NoWindows:
    def read(self, incident: Incident, now_ms: int) -> tuple[list[SeriesWindow], int]:  # noqa: ARG002  # the port
        return [], 0
