"""One process with the production parts on a scenario's clock, wired as `app.composition` does."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry

from rollbackd.app.changes import Changes
from rollbackd.app.configuration import build_engine
from rollbackd.app.coverage import InputCoverage
from rollbackd.app.detecting import Detecting
from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.evaluation import EvaluationLoop
from rollbackd.app.guard_board import GuardBoard
from rollbackd.app.intake import Intake
from rollbackd.app.operations import DaemonOperations
from rollbackd.app.pausing import PauseFile
from rollbackd.app.pinning.baselines import Baselines
from rollbackd.app.pinning.sightings import ForeignBaseline
from rollbackd.app.receipts import ReceiptIntake
from rollbackd.app.reconciling import Reconciling
from rollbackd.app.recovery import Recovery
from rollbackd.app.rule_states import RuleStates
from rollbackd.app.targets import LiveTargets
from rollbackd.app.windows import LiveWindows
from rollbackd.errors import TemporaryError
from rollbackd.evidence.audit import IncidentAuditor
from rollbackd.evidence.capture import EvidenceCapture
from rollbackd.evidence.pins import PinsTable
from rollbackd.evidence.report import FileReporter
from rollbackd.incidents.runner import Runner, Surroundings
from rollbackd.levers import build_levers
from rollbackd.model.incidents import Confirmation, Incident, JournalRecord
from rollbackd.model.policy import DecisionTree, FreezeProbe
from rollbackd.model.reconciliation import Retention
from rollbackd.ports import Controls, ReceiptLedger, Store
from rollbackd.reconciliation.reconciler import LedgerReconciler
from rollbackd.rulefmt.rule_files import RuleFile
from rollbackd.settings import ScopeLabels, Settings
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.memory import RestorePolicy
from tests.scenarios.clock import ScenarioClock
from tests.scenarios.downstream import Downstream
from tests.scenarios.gates import Gate, Troubles

#: How often rules are looked at, and everything else.
BEAT_MS = 1_000
_LABELS = ScopeLabels()


class Outside:
    """What a process reaches, and what people hear of it; it outlives processes."""

    def __init__(
        self,
        store: Store,
        receipts: ReceiptLedger,
        controls: Controls,
        downstream: Downstream,
        folder: Path,
        troubles: Troubles,
    ) -> None:
        self.store = store
        self.receipts = receipts
        self.downstream = downstream
        self.controls = controls
        self.folder = folder
        self.troubles = troubles
        self.clock: ScenarioClock = troubles.clock
        self.writers_stop = True
        #: (incident, reason) of every page.
        self.pages: list[tuple[str, str]] = []
        self._numbers = itertools.count(1)

    def new_id(self, _now_ms: int) -> str:
        """`INC-01` and so on: sorts by time."""
        return f"INC-{next(self._numbers):02}"

    async def opened(self) -> list[str]:
        """Every incident, in the order of opening."""
        return sorted(incident.id for incident in await self.store.incidents())


class Station:
    """From the start of a process to its end."""

    def __init__(
        self,
        outside: Outside,
        rule_files: list[RuleFile],
        tree: DecisionTree,
        feed: Callable[[Intake], Any],
    ) -> None:
        self.outside = outside
        self.dead = False
        self.telemetry = Telemetry(CollectorRegistry())
        self._feed = feed
        self._gates = [
            Gate(outside.store, outside.troubles, self.die, is_store=True),
            Gate(outside.controls, outside.troubles, self.die, is_store=False),
        ]
        self.store, self.controls = cast("tuple[Store, Controls]", tuple(self._gates))
        self.engine = build_engine(rule_files, tree, Settings())
        self._build(tree)
        self._task: asyncio.Task[None] | None = None
        self._units: asyncio.Task[None] | None = None

    def _build(self, tree: DecisionTree) -> None:
        clock, store, telemetry = self.outside.clock, self.store, self.telemetry
        self.pins = PinsTable(telemetry)
        baselines = Baselines(lambda: self.engine, store)
        foreign = ForeignBaseline(baselines, self.pins)
        targets = LiveTargets(lambda: self.engine, _LABELS, foreign)
        levers = build_levers(self.controls, clock)
        self.reporter = FileReporter(
            self.outside.folder / "incidents", controls=self.controls, pins=self.pins
        )
        reconciler = LedgerReconciler(
            self.outside.downstream.settings,
            ledger=self.outside.receipts,
            open_effects=None,
            clock=clock,
            telemetry=telemetry,
            listings={"downstream": self.outside.downstream},
        )
        self.runner = Runner(
            Surroundings(
                store=store,
                levers=levers,
                capture=EvidenceCapture(
                    store=store,
                    controls=self.controls,
                    targets=targets,
                    windows=LiveWindows(lambda: self.engine, _LABELS),
                    pins=self.pins,
                    clock=clock,
                ),
                probes=self,
                targets=targets,
                auditor=IncidentAuditor(levers, store, self.controls, self.pins),
                reconciler=reconciler,
                reporter=self.reporter,
                notifier=self,
                clock=clock,
                telemetry=telemetry,
            )
        )
        changes = Changes()
        self.intake = Intake(
            engine=lambda: self.engine,
            store=store,
            pins=self.pins,
            baselines=baselines,
            clock=clock,
            telemetry=telemetry,
            fact_sinks=[
                ReceiptIntake(
                    self.outside.receipts,
                    Retention(age_ms=86_400_000, keys=1_000),
                    clock,
                    telemetry,
                ),
                Detecting(
                    engine=lambda: self.engine,
                    settings=Settings(),
                    in_force=baselines.in_force,
                    changes=changes,
                    incidents=self.runner.current,
                    clock=clock,
                    telemetry=telemetry,
                ),
            ],
            changes=changes,
        )
        self._coverage = InputCoverage(lambda: self.engine, clock, _LABELS)
        self.dispatcher = Dispatcher(
            store=store,
            runner=self.runner,
            clock=clock,
            telemetry=telemetry,
            tree=tree,
            scope_labels=_LABELS,
            new_id=self.outside.new_id,
            pins_of=self.pins.of,
            scopes_of=self.pins.scopes_of,
            coverage_of=self._coverage.of,
            changes_of=lambda scope, within: changes.before(clock.now(), scope, within),
            paused_here=PauseFile(self.outside.folder / "PAUSED").read,
            page=self.page,
        )
        board = GuardBoard(
            dispatcher=self.dispatcher, store=store, clock=clock, telemetry=telemetry
        )
        self._board = board
        self._evaluation = EvaluationLoop(
            engine=lambda: self.engine,
            intake=self.intake,
            dispatcher=self.dispatcher,
            clock=clock,
            telemetry=telemetry,
            coalesce_ms=100,
        )
        self._rule_states = RuleStates(
            engine=lambda: self.engine,
            store=store,
            clock=clock,
            policy=RestorePolicy(grace_ms=0, tolerance_ms=3_600_000),
            caught_up=lambda: True,
        )
        self._recovery = Recovery(
            store=store,
            controls=self.controls,
            dispatcher=self.dispatcher,
            runner=self.runner,
            notifier=self,
            clock=clock,
        )
        self.operations = DaemonOperations(
            intake=self.intake,
            dispatcher=self.dispatcher,
            runner=self.runner,
            store=store,
            controls_store=self.controls,
            clock=clock,
            scope_labels=_LABELS,
            engine=lambda: self.engine,
            why_not_ready=list,
            reload_configuration=self._nothing,
            reporter=self.reporter,
            guard_board=board,
            reconciling=Reconciling(store, self.runner, reconciler, clock),
            decided=self.decided,
        )

    def start(self) -> None:
        """Begin as the daemon does; a store that is down is waited for."""
        self._task = asyncio.create_task(self._run())

    def die(self) -> None:
        """Everything in memory is lost; what was not durable never happened."""
        self.dead = True
        for gate in self._gates:
            gate.cut()

    async def bury(self) -> None:
        """Let go of what a dead process has left in this one."""
        tasks = [task for task in (self._task, self._units) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.runner.stop()

    async def _run(self) -> None:
        await self._until_reached(self._begin)
        self._units = asyncio.create_task(self.dispatcher.units.run(self.outside.clock))
        turn = 0
        while True:
            try:
                await self._feed(self.intake)
                await self._evaluation.turn()
            except TemporaryError:
                self.intake.look_again()
            turn += 1
            if turn % 5 == 0:
                await self._once(self._keep_house)
            await self.outside.clock.sleep(BEAT_MS)

    async def _begin(self) -> None:
        await self.intake.restore()
        await self._rule_states.restore()
        self.dispatcher.pause = await self.store.pause()
        await self._recovery.start()
        await self.runner.left.load()
        await self._rule_states.settle()

    async def _keep_house(self) -> None:
        self._coverage.note()
        self.dispatcher.pause = await self.store.pause()
        await self._board.look()
        self._board.show()
        await self._rule_states.keep()
        await self.runner.left.look()

    async def _once(self, work: Callable[[], Any]) -> None:
        try:
            await work()
        except TemporaryError:
            return

    async def _until_reached(self, work: Callable[[], Any]) -> None:
        while True:
            try:
                return cast("None", await work())
            except TemporaryError:
                await self.outside.clock.sleep(BEAT_MS)

    async def _nothing(self) -> list[str]:
        """Nothing is read again."""
        return []

    async def confirm(self, incident: Incident, probe: FreezeProbe) -> Confirmation:  # noqa: ARG002
        """Whether the writers of the scenario stand still."""
        stop = self.outside.writers_stop
        detail = "" if stop else "the probe write was taken"
        return Confirmation(probe=probe.kind, confirmed=stop, detail=detail)

    async def page(self, incident: Incident, reason: str) -> None:
        """People hear of it at once."""
        self.outside.pages.append((incident.id, str(reason)))

    def decided(self, incident: Incident, record: JournalRecord) -> None:
        """The journal is read where it is."""
