"""What decides: rules are evaluated, and what fires becomes incidents or not."""

import msgspec

from rollbackd.app.composition.ground import Ground
from rollbackd.app.composition.knowledge import Knowledge
from rollbackd.app.composition.receiving import Receiving
from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.evaluation import EvaluationLoop
from rollbackd.app.guard_board import GuardBoard
from rollbackd.app.pausing import PauseFile
from rollbackd.app.rule_states import RuleStates
from rollbackd.incidents.runner import Runner
from rollbackd.ports import Notifier
from rollbackd.triggers.memory import RestorePolicy


class Deciding(msgspec.Struct, frozen=True, kw_only=True):
    """The loop that evaluates, what it dispatches to, and what is kept of both."""

    dispatcher: Dispatcher
    #: How the guardrails stand.
    guard_board: GuardBoard
    evaluation: EvaluationLoop
    rule_states: RuleStates


def build_deciding(
    ground: Ground, knowledge: Knowledge, receiving: Receiving, runner: Runner, notifier: Notifier
) -> Deciding:
    """Reads what was received, starts incidents with the runner. Nothing is evaluated yet."""
    settings, clock, telemetry = ground.settings, ground.clock, ground.telemetry
    store = ground.backends.store
    dispatcher = _dispatcher(ground, knowledge, runner, notifier)
    return Deciding(
        dispatcher=dispatcher,
        guard_board=GuardBoard(
            dispatcher=dispatcher, store=store, clock=clock, telemetry=telemetry
        ),
        evaluation=EvaluationLoop(
            engine=ground.engine,
            intake=receiving.intake,
            dispatcher=dispatcher,
            clock=clock,
            telemetry=telemetry,
            coalesce_ms=settings.engine.coalesce_ms,
            behind=receiving.behind,
        ),
        rule_states=RuleStates(
            engine=ground.engine,
            store=store,
            clock=clock,
            policy=RestorePolicy(
                grace_ms=settings.engine.for_grace_ms,
                tolerance_ms=settings.engine.outage_tolerance_ms,
            ),
            caught_up=receiving.caught_up,
        ),
    )


def _dispatcher(
    ground: Ground, knowledge: Knowledge, runner: Runner, notifier: Notifier
) -> Dispatcher:
    clock, changes = ground.clock, knowledge.changes
    return Dispatcher(
        store=ground.backends.store,
        runner=runner,
        clock=clock,
        telemetry=ground.telemetry,
        tree=ground.configuration.tree,
        scope_labels=ground.settings.scope_labels,
        on_opened=notifier.decided,
        pins_of=knowledge.pins.of,
        scopes_of=knowledge.pins.scopes_of,
        coverage_of=knowledge.coverage.of,
        changes_of=lambda scope, within_ms: changes.before(clock.now(), scope, within_ms),
        paused_here=PauseFile(ground.settings.pause_path).read,
        page=notifier.page,
    )
