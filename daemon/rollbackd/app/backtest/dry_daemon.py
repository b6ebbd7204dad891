"""The daemon without its world: everything between a source and a lever is production's."""

from collections.abc import Callable

import msgspec
from prometheus_client import CollectorRegistry

from rollbackd.app.backtest.dry_controls import DryControls
from rollbackd.app.backtest.dry_levers import dry_levers
from rollbackd.app.backtest.dry_run import DryRunner
from rollbackd.app.backtest.memory import MemoryStore
from rollbackd.app.backtest.recorder import Recorder
from rollbackd.app.composition.knowledge import Knowledge, build_knowledge
from rollbackd.app.configuration import Configuration
from rollbackd.app.coverage import InputCoverage
from rollbackd.app.detecting import Detecting
from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.evaluation import EvaluationLoop
from rollbackd.app.intake import Intake
from rollbackd.clock import ManualClock
from rollbackd.evidence.capture import EvidenceCapture
from rollbackd.incidents.performing import LeverRoom
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident
from rollbackd.model.triggers import Trigger
from rollbackd.settings import Settings
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine


class DryDaemon(msgspec.Struct, frozen=True, kw_only=True):
    """Its clock stands still until it is moved, its levers move nothing."""

    clock: ManualClock
    telemetry: Telemetry
    store: MemoryStore
    runner: DryRunner
    intake: Intake
    evaluation: EvaluationLoop
    coverage: InputCoverage
    #: Hears of everything that the backtest is to tell.
    recorder: Recorder


class _Ground(msgspec.Struct, frozen=True, kw_only=True):
    settings: Settings
    configuration: Configuration
    clock: ManualClock
    telemetry: Telemetry
    store: MemoryStore

    def engine(self) -> Engine:
        return self.configuration.engine


def build_dry_daemon(configuration: Configuration, settings: Settings) -> DryDaemon:
    """Wired as `app.composition.parts` wires a live one."""
    ground = _Ground(
        settings=settings,
        configuration=configuration,
        clock=ManualClock(0),
        telemetry=Telemetry(CollectorRegistry()),
        store=MemoryStore(),
    )
    clock, telemetry, store = ground.clock, ground.telemetry, ground.store
    knowledge = build_knowledge(
        settings, engine=ground.engine, store=store, clock=clock, telemetry=telemetry
    )
    recorder = Recorder(settings.scope_labels, clock)
    runner = _runner(ground, knowledge)
    intake = _intake(ground, knowledge, runner)
    evaluation = EvaluationLoop(
        engine=ground.engine,
        intake=intake,
        dispatcher=_dispatcher(ground, knowledge, runner, recorder),
        clock=clock,
        telemetry=telemetry,
        coalesce_ms=settings.engine.coalesce_ms,
        on_evaluated=recorder.evaluated,
    )
    return DryDaemon(
        clock=clock,
        telemetry=telemetry,
        store=store,
        runner=runner,
        intake=intake,
        evaluation=evaluation,
        coverage=knowledge.coverage,
        recorder=recorder,
    )


def _runner(ground: _Ground, knowledge: Knowledge) -> DryRunner:
    clock, controls = ground.clock, DryControls()
    levers = dry_levers(controls, clock, ground.configuration.levers)
    return DryRunner(
        store=ground.store,
        room=LeverRoom(levers, ground.store, clock, ground.telemetry, _nobody),
        capture=EvidenceCapture(
            store=ground.store,
            controls=controls,
            targets=knowledge.targets,
            windows=knowledge.windows,
            pins=knowledge.pins,
            clock=clock,
        ),
        controls=controls,
        pins=knowledge.pins,
        clock=clock,
    )


def _intake(ground: _Ground, knowledge: Knowledge, runner: DryRunner) -> Intake:
    return Intake(
        engine=ground.engine,
        store=ground.store,
        pins=knowledge.pins,
        clock=ground.clock,
        telemetry=ground.telemetry,
        fact_sinks=[
            Detecting(
                engine=ground.engine,
                settings=ground.settings,
                in_force=knowledge.baselines.in_force,
                changes=knowledge.changes,
                incidents=runner.current,
                clock=ground.clock,
                telemetry=ground.telemetry,
            )
        ],
        baselines=knowledge.baselines,
        changes=knowledge.changes,
    )


def _dispatcher(
    ground: _Ground, knowledge: Knowledge, runner: DryRunner, recorder: Recorder
) -> Dispatcher:
    clock, changes = ground.clock, knowledge.changes
    return Dispatcher(
        store=ground.store,
        runner=runner,
        clock=clock,
        telemetry=ground.telemetry,
        tree=ground.configuration.tree,
        scope_labels=ground.settings.scope_labels,
        on_ignored=_tell_ignored(recorder, runner),
        new_id=_Numbered(),
        pins_of=knowledge.pins.of,
        scopes_of=knowledge.pins.scopes_of,
        coverage_of=knowledge.coverage.of,
        changes_of=lambda scope, within_ms: changes.before(clock.now(), scope, within_ms),
    )


def _tell_ignored(recorder: Recorder, runner: DryRunner) -> Callable[[Trigger, Reason], None]:
    def tell(trigger: Trigger, reason: Reason) -> None:
        scope = recorder.scope(trigger)
        busy = any(str(incident.scope) == scope for incident in runner.current())
        recorder.ignored(trigger, reason, may_not_take_over=busy)

    return tell


class _Numbered:
    """Names incidents in their order, so that two runs say the same."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self, _opened_at_ms: int) -> str:
        self._last += 1
        return f"{self._last:09d}"


async def _nobody(_incident: Incident, _reason: str) -> None:
    """Nobody is paged from a backtest."""
