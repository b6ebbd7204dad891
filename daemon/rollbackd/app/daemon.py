"""The daemon: builds every part, starts them in order, stops them in reverse."""

import asyncio
import logging
import signal
import time
from collections.abc import Coroutine
from typing import Any

from rollbackd import __version__
from rollbackd.app.backends import Backends, WrapControls, WrapStore
from rollbackd.app.changes import Changes
from rollbackd.app.configuration import Configuration, load
from rollbackd.app.coverage import InputCoverage
from rollbackd.app.detecting import Detecting
from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.evaluation import EvaluationLoop
from rollbackd.app.guard_board import GuardBoard
from rollbackd.app.housekeeping import Housekeeping
from rollbackd.app.intake import Intake
from rollbackd.app.lever_table import LeversInForce
from rollbackd.app.lifecycle import Cleanups, cancel
from rollbackd.app.mappings import MappingMetrics
from rollbackd.app.notifying import build_notifiers
from rollbackd.app.operations import DaemonOperations
from rollbackd.app.pausing import PauseFile
from rollbackd.app.pinning.baselines import Baselines
from rollbackd.app.pinning.building import build_known_good
from rollbackd.app.pinning.sightings import ForeignBaseline
from rollbackd.app.process import clock_of, process_registry, spare_the_collector
from rollbackd.app.receipts import ReceiptIntake, build_reconciler
from rollbackd.app.reconciling import Reconciling
from rollbackd.app.recovery import Recovery
from rollbackd.app.rule_states import RuleStates
from rollbackd.app.scoring import build_scoring
from rollbackd.app.standby import Standby, snapshot_of
from rollbackd.app.systemd import ServiceManager
from rollbackd.app.targets import LiveTargets
from rollbackd.app.windows import LiveWindows
from rollbackd.clock import Clock
from rollbackd.controls.last_known import LastKnownControls
from rollbackd.documents.diagnostics import DocumentError
from rollbackd.evidence.audit import IncidentAuditor
from rollbackd.evidence.capture import EvidenceCapture
from rollbackd.evidence.pins import PinsTable
from rollbackd.evidence.report import FileReporter
from rollbackd.http.server import HttpServer
from rollbackd.incidents.runner import Runner, Surroundings
from rollbackd.probes import Probes
from rollbackd.settings import Settings, load_settings
from rollbackd.sources.kafka import KafkaSource
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine
from rollbackd.triggers.memory import RestorePolicy

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
        self._configuration: Configuration | None = None
        self._stopping = asyncio.Event()
        self._failures: list[BaseException] = []
        self._ready = False

    @property
    def port(self) -> int:
        """The port of the HTTP listener, once started."""
        return self._http.port

    @property
    def engine(self) -> Engine:
        """The engine in force."""
        assert self._configuration is not None
        return self._configuration.engine

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
        self._configuration = load(self.settings)
        _log_warnings(self._configuration)
        snapshot = snapshot_of(self.settings, self.clock)
        standby = Standby(
            self.settings,
            self.telemetry,
            self.clock,
            self._service_manager,
            snapshot,
            mappings=self._configuration.mappings,
        )
        backends = await standby.open(self._cleanups, self._stopping)
        if backends is None:
            return
        self._controls = LastKnownControls(self._wrap_controls(backends.controls), snapshot)
        self._backends = Backends(
            store=self._wrap_store(backends.store),
            receipts=backends.receipts,
            controls=self._controls,
            controls_redis=backends.controls_redis,
        )
        await self._controls.load()
        self._build()
        self._spawn("notifications", self._notifiers.run())
        await self._intake.restore()
        await self._rule_states.restore()
        self._cleanups.push("rule states", self._rule_states.write)
        self._dispatcher.pause = await self._backends.store.pause()
        await self._resume_incidents()
        self._spawn("evaluation", self._evaluation.run())
        if self._scoring is not None:
            self._cleanups.push("scorer", self._scoring.close)
            self._spawn("scoring", self._scoring.run())
        self._spawn("controls", self._controls.run())
        await standby.stop()
        await self._http.start()
        self._cleanups.push("http", self._http.stop)
        if self._kafka is not None:
            self._spawn("kafka", self._kafka.run())
        self._spawn("rule states", self._rule_states.settle())
        self._spawn("units", self._dispatcher.units.run(self.clock))
        self._spawn("housekeeping", self._housekeeping.run())
        self._spawn("known good sets", self._known_good.keeper.run())
        self._reload_succeeded()
        self._ready = True
        self._service_manager.ready(f"listening on port {self.port}")
        logger.info("ready", extra={"port": self.port, "version": __version__})

    async def stop(self) -> None:
        """Stop everything, last started first. Open incidents stay as the journal has them."""
        self._ready = False
        self._service_manager.stopping()
        await self._cleanups.run()

    async def reload(self) -> None:
        """Read the config file, rules, tree and token files again; all or nothing.

        Raises DocumentError, or ValueError for a token file or certificate that cannot be used.
        """
        self._service_manager.reloading()
        try:
            settings = load_settings(self.settings.path) if self._has_file else self.settings
            fresh = load(settings)
            self._http.reload()
        except (DocumentError, ValueError) as error:
            self.telemetry.config_reload_ok.set(0)
            logger.error("reload refused; the last good one stays", extra={"because": str(error)})  # noqa: TRY400  # a user's mistake needs no traceback
            self._service_manager.ready("reload refused")
            raise
        fresh.engine.carry_over(self.engine)
        self._configuration = fresh
        self._dispatcher.tree = fresh.tree
        self._mappings.clear()
        self._mappings.update(fresh.mappings)
        self._levers.replace(fresh.levers)
        await self._intake.baselines.look_everywhere()
        _log_warnings(fresh)
        self._reload_succeeded()
        self._service_manager.ready("reloaded")
        logger.info("reloaded")

    @property
    def _has_file(self) -> bool:
        return self.settings.path.is_file()

    def _build(self) -> None:
        """Wire the parts; nothing runs yet."""
        assert self._configuration is not None
        store, controls = self._backends.store, self._backends.controls
        clock, telemetry, settings = self.clock, self.telemetry, self.settings
        pins = PinsTable(telemetry)
        baselines = Baselines(lambda: self.engine, store)
        foreign = ForeignBaseline(baselines, pins)
        targets = LiveTargets(lambda: self.engine, settings.scope_labels, foreign)
        self._levers = LeversInForce(controls, clock, self._configuration.levers)
        self._cleanups.push("levers", self._levers.close)
        self._notifiers = build_notifiers(
            settings,
            store=store,
            pause=lambda: self._dispatcher.pause_in_force,
            clock=clock,
            telemetry=telemetry,
        )
        reconciler = build_reconciler(settings, self._backends, clock, telemetry)
        self._cleanups.push("listings", reconciler.close)
        reporter = FileReporter(settings.state_dir / "incidents", controls=controls, pins=pins)
        self._runner = Runner(
            Surroundings(
                store=store,
                levers=self._levers.table,
                capture=EvidenceCapture(
                    store=store,
                    controls=controls,
                    targets=targets,
                    windows=LiveWindows(lambda: self.engine, settings.scope_labels),
                    pins=pins,
                    clock=clock,
                ),
                probes=Probes(settings.kafka, self._backends.controls_redis),
                targets=targets,
                auditor=IncidentAuditor(self._levers.table, store, controls, pins),
                reconciler=reconciler,
                reporter=reporter,
                notifier=self._notifiers,
                clock=clock,
                telemetry=telemetry,
            )
        )
        changes = Changes(settings.detectors.changes)
        self._scoring = build_scoring(
            settings, engine=lambda: self.engine, clock=clock, telemetry=telemetry
        )
        self._intake = Intake(
            engine=lambda: self.engine,
            store=store,
            pins=pins,
            clock=clock,
            telemetry=telemetry,
            fact_sinks=(
                ReceiptIntake.of(settings, self._backends, clock, telemetry),
                Detecting(
                    engine=lambda: self.engine,
                    settings=settings,
                    in_force=baselines.in_force,
                    changes=changes,
                    incidents=self._runner.current,
                    clock=clock,
                    telemetry=telemetry,
                ),
                *([] if self._scoring is None else [self._scoring]),
            ),
            baselines=baselines,
            changes=changes,
        )
        coverage = InputCoverage(lambda: self.engine, clock, settings.scope_labels)
        self._dispatcher = Dispatcher(
            store=store,
            runner=self._runner,
            clock=clock,
            telemetry=telemetry,
            tree=self._configuration.tree,
            scope_labels=settings.scope_labels,
            on_opened=self._notifiers.decided,
            pins_of=pins.of,
            scopes_of=pins.scopes_of,
            coverage_of=coverage.of,
            changes_of=lambda scope, within_ms: changes.before(clock.now(), scope, within_ms),
            paused_here=PauseFile(settings.pause_path).read,
            page=self._notifiers.page,
        )
        guard_board = GuardBoard(
            dispatcher=self._dispatcher, store=store, clock=clock, telemetry=telemetry
        )
        self._evaluation = EvaluationLoop(
            engine=lambda: self.engine,
            intake=self._intake,
            dispatcher=self._dispatcher,
            clock=clock,
            telemetry=telemetry,
            coalesce_ms=settings.engine.coalesce_ms,
            behind=lambda: self._kafka is not None and self._kafka.behind(),
        )
        self._mappings = dict(self._configuration.mappings)
        telemetry.registry.register(MappingMetrics(self._mappings))
        self._kafka = self._kafka_source()
        self._rule_states = RuleStates(
            engine=lambda: self.engine,
            store=store,
            clock=clock,
            policy=RestorePolicy(
                grace_ms=settings.engine.for_grace_ms,
                tolerance_ms=settings.engine.outage_tolerance_ms,
            ),
            caught_up=self._kafka.caught_up if self._kafka else lambda: True,
        )
        self._housekeeping = Housekeeping(
            engine=lambda: self.engine,
            store=store,
            controls=controls,
            dispatcher=self._dispatcher,
            runner=self._runner,
            evaluation=self._evaluation,
            clock=clock,
            telemetry=telemetry,
            service_manager=self._service_manager,
            source_healthy=self._kafka.healthy if self._kafka else lambda: True,
            rule_states=self._rule_states,
            coverage=coverage,
            guard_board=guard_board,
        )
        operations = DaemonOperations(
            intake=self._intake,
            dispatcher=self._dispatcher,
            runner=self._runner,
            store=store,
            controls_store=controls,
            clock=clock,
            scope_labels=settings.scope_labels,
            engine=lambda: self.engine,
            why_not_ready=self._why_not_ready,
            reload_configuration=self.reload,
            reporter=reporter,
            guard_board=guard_board,
            reconciling=Reconciling(store, self._runner, reconciler, clock),
            decided=self._notifiers.decided,
        )
        self._known_good = build_known_good(
            settings,
            store=store,
            controls=controls,
            pins=pins,
            baselines=baselines,
            targets=targets,
            engine=lambda: self.engine,
            tree=lambda: self._dispatcher.tree,
            levers=lambda: self._levers.table,
            paused=lambda: self._dispatcher.pause_in_force is not None,
            hears=self._notifiers.known_good_changed,
            clock=clock,
            telemetry=telemetry,
        )
        self._http = HttpServer(
            settings.http,
            operations,
            telemetry,
            clock,
            last_known=self._controls,
            known_good=self._known_good.desk,
            mappings=self._mappings,
            formats=settings.formats,
        )
        telemetry.build_info.info({"version": __version__})

    def _kafka_source(self) -> KafkaSource | None:
        if self.settings.kafka is None or not self.settings.kafka.topics:
            # without topics the brokers are only asked, by freeze probes
            return None
        return KafkaSource(
            self.settings.kafka,
            self._intake,
            self.telemetry,
            self.clock,
            refill_ms=self.engine.longest_window_ms,
            formats=self.settings.formats,
            mappings=self._mappings,
        )

    async def _resume_incidents(self) -> None:
        """Take open incidents over, and remember which triggers were answered for already."""
        recovery = Recovery(
            store=self._backends.store,
            controls=self._backends.controls,
            dispatcher=self._dispatcher,
            runner=self._runner,
            notifier=self._notifiers,
            clock=self.clock,
        )
        self._cleanups.push("incidents", self._runner.stop)
        await recovery.start()
        self._spawn("adoption", recovery.run())
        self._spawn("inheritance", self._forget_inherited())

    async def _forget_inherited(self) -> None:
        await self.clock.sleep(self.engine.longest_window_ms + 60_000)
        self._dispatcher.forget_inherited()

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
        return self._housekeeping.problems if self._ready else ["starting"]

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


def _log_warnings(configuration: Configuration) -> None:
    for warning in configuration.warnings:
        logger.warning("a rule wants a look", extra={"because": warning.headline()})
