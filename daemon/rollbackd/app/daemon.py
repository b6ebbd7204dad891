"""The daemon: starts every part in order, stops them in reverse."""

import asyncio
import logging
import signal
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from msgspec.structs import replace

from rollbackd import __version__
from rollbackd.app.backends import Backends, WrapControls, WrapStore
from rollbackd.app.composition.answering import Process
from rollbackd.app.composition.ground import Ground
from rollbackd.app.composition.parts import build_parts
from rollbackd.app.configuration import Configuration, load
from rollbackd.app.lifecycle import Cleanups, cancel
from rollbackd.app.process import clock_of, process_registry, spare_the_collector
from rollbackd.app.recovery import Recovery
from rollbackd.app.reloading import taken_over, waiting_for_restart
from rollbackd.app.standby import Standby, snapshot_of
from rollbackd.app.systemd import ServiceManager
from rollbackd.clock import Clock
from rollbackd.controls.last_known import LastKnownControls
from rollbackd.controls.snapshot import Snapshot
from rollbackd.documents.diagnostics import DocumentError
from rollbackd.settings import Settings, load_settings
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine

logger = logging.getLogger(__name__)


class Daemon:
    """One rollbackd. `start` and `stop` are for tests and embedding; `run` is the whole life.

    `wrap_store` and `wrap_controls` let a test put faults between the daemon and the real thing.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        wrap_store: WrapStore = lambda store: store,
        wrap_controls: WrapControls = lambda controls: controls,
    ) -> None:
        self.settings = settings
        self.clock = clock or clock_of(settings.clock)
        self.telemetry = Telemetry(process_registry())
        self._wrap_store = wrap_store
        self._wrap_controls = wrap_controls
        self._cleanups = Cleanups()
        self._service_manager = ServiceManager()
        self._stopping = asyncio.Event()
        self._failures: list[BaseException] = []
        self._ready = False

    @property
    def port(self) -> int:
        """The port of the HTTP listener, once started."""
        return self._parts.http.port

    @property
    def engine(self) -> Engine:
        """The engine in force, once started."""
        return self._parts.ground.engine()

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop. Raises what made it impossible to go on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_on_signal)
        try:
            await self.start()
            spare_the_collector()
            await self._stopping.wait()
        finally:
            await self.stop()
        if self._failures:
            raise self._failures[0]

    async def start(self) -> None:
        """Build and start everything. Raises DocumentError, TemporaryError, PermanentError."""
        configuration = load(self.settings)
        # not `settings`: the state folder may be another one than the file says
        self._started_with = self._written()
        _log_warnings(configuration)
        snapshot = snapshot_of(self.settings, self.clock)
        standby = Standby(
            self.settings,
            self.telemetry,
            self.clock,
            self._service_manager,
            snapshot,
            mappings=configuration.mappings,
        )
        backends = await standby.open(self._cleanups, self._stopping)
        if backends is None:
            return
        ground = self._ground(configuration, backends, snapshot)
        await ground.last_known.load()
        process = Process(
            service_manager=self._service_manager,
            why_not_ready=self._why_not_ready,
            reload=self.reload,
        )
        self._parts = build_parts(ground, process, self._cleanups)
        self.telemetry.build_info.info({"version": __version__})
        await self._take_up()
        self._spawn("evaluation", self._parts.deciding.evaluation.run())
        if (scoring := self._parts.receiving.scoring) is not None:
            self._cleanups.push("scorer", scoring.close)
            self._spawn("scoring", scoring.run())
        self._spawn("controls", ground.last_known.run())
        await standby.stop()
        await self._serve()
        self._reload_succeeded()
        self._ready = True
        self._service_manager.ready(f"listening on port {self.port}")
        logger.info("ready", extra={"port": self.port, "version": __version__})

    async def stop(self) -> None:
        """Stop everything, last started first. Open incidents stay as the journal has them."""
        self._ready = False
        self._service_manager.stopping()
        await self._cleanups.run()

    async def reload(self) -> list[str]:
        """Read the config file, rules, tree, levers, mappings and token files again.

        All or nothing, but for what only counts after a restart: those keys of the config file are
        given back. Raises DocumentError, or ValueError for a token file or a certificate that
        cannot be used.
        """
        self._service_manager.reloading()
        waiting: list[str] = []
        try:
            written = self._written()
            waiting = waiting_for_restart(self._started_with, written)
            settings = taken_over(self.settings, written)
            fresh = load(settings)
            self._parts.http.reload()
        except (DocumentError, ValueError) as error:
            self.telemetry.config_reload_ok.set(0)
            about = {"because": str(error), "restart_needed": waiting}
            logger.error("reload refused; the last good one stays", extra=about)  # noqa: TRY400  # a user's mistake needs no traceback
            self._service_manager.ready("reload refused")
            raise
        self._parts.adopt(fresh)
        if settings.log_level != self.settings.log_level:
            logging.getLogger().setLevel(settings.log_level.upper())
        self.settings = settings
        _log_warnings(fresh)
        self._reload_succeeded()
        self._service_manager.ready("reloaded" + _restart_needed(waiting))
        logger.info("reloaded")
        if waiting:
            about = {"restart_needed": waiting}
            logger.warning("what was changed of these keys counts after a restart", extra=about)
        return waiting

    def _written(self) -> Settings:
        """The config file as it is now, or what stands in for one. Raises DocumentError."""
        path = self.settings.path
        return load_settings(path) if path.is_file() else self.settings

    def _ground(
        self, configuration: Configuration, backends: Backends, snapshot: Snapshot | None
    ) -> Ground:
        last_known = LastKnownControls(self._wrap_controls(backends.controls), snapshot)
        return Ground(
            settings=self.settings,
            clock=self.clock,
            telemetry=self.telemetry,
            backends=replace(backends, store=self._wrap_store(backends.store), controls=last_known),
            last_known=last_known,
            configuration=configuration,
        )

    async def _take_up(self) -> None:
        """Go on where the process before this one ended, as far as the store knows."""
        parts, deciding = self._parts, self._parts.deciding
        self._spawn("notifications", parts.notifiers.run())
        await parts.receiving.intake.restore()
        await deciding.rule_states.restore()
        self._cleanups.push("rule states", deciding.rule_states.write)
        deciding.dispatcher.pause = await parts.ground.backends.store.pause()
        await self._resume_incidents()

    async def _resume_incidents(self) -> None:
        """Take open incidents over, and remember which triggers were answered for already."""
        parts, runner = self._parts, self._parts.acting.runner
        recovery = Recovery(
            store=parts.ground.backends.store,
            controls=parts.ground.backends.controls,
            dispatcher=parts.deciding.dispatcher,
            runner=runner,
            notifier=parts.notifiers,
            clock=self.clock,
        )
        self._cleanups.push("incidents", runner.stop)
        await recovery.start()
        self._spawn("adoption", recovery.run())
        self._spawn("inheritance", self._forget_inherited())

    async def _serve(self) -> None:
        """Listen, read, and look after it all, now that rules are evaluated."""
        parts, deciding = self._parts, self._parts.deciding
        await parts.http.start()
        self._cleanups.push("http", parts.http.stop)
        if parts.receiving.kafka is not None:
            self._spawn("kafka", parts.receiving.kafka.run())
        self._spawn("rule states", deciding.rule_states.settle())
        self._spawn("units", deciding.dispatcher.units.run(self.clock))
        self._spawn("housekeeping", parts.housekeeping.run())
        self._spawn("known good sets", parts.known_good.keeper.run())
        store = parts.ground.backends.store
        self._spawn("changes", parts.receiving.intake.changes.follow(store, self.clock))

    async def _forget_inherited(self) -> None:
        await self.clock.sleep(self.engine.longest_window_ms + 60_000)
        self._parts.deciding.dispatcher.forget_inherited()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a loop for the life of the daemon; one that dies takes the daemon down, to restart.

        A daemon that lost a part and went on would look alive and do nothing.
        """
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._loop_ended)
        self._cleanups.push(name, lambda: cancel(task))

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        logger.critical("a part died", exc_info=error, extra={"part": task.get_name()})
        self._failures.append(error)
        self._stopping.set()

    def _why_not_ready(self) -> list[str]:
        return self._parts.housekeeping.problems if self._ready else ["starting"]

    def _reload_succeeded(self) -> None:
        self.telemetry.config_reload_ok.set(1)
        self.telemetry.config_reload_time.set(time.time())

    def _reload_on_signal(self) -> None:
        async def reload() -> None:
            if not self._ready:
                logger.warning("reload ignored; it has not started yet")
                return
            try:
                await self.reload()
            except (DocumentError, ValueError):
                return

        self._reloading = asyncio.create_task(reload(), name="reload")


def _restart_needed(waiting: Sequence[str]) -> str:
    return f"; a restart is needed for {', '.join(waiting)}" if waiting else ""


def _log_warnings(configuration: Configuration) -> None:
    for warning in configuration.warnings:
        logger.warning("a rule wants a look", extra={"because": warning.headline()})
