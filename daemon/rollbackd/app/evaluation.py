"""The evaluation loop: looks when something has changed or time is due, and dispatches."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.intake import Intake
from rollbackd.clock import Clock
from rollbackd.errors import TemporaryError
from rollbackd.model.triggers import RuleState
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine, Evaluation

logger = logging.getLogger(__name__)


#: While the sources are far behind, a change alone is looked at no more often than this.
_BEHIND_SECONDS: Final = 1.0
#: So long a round may keep everything else waiting.
_SLICE_SECONDS: Final = 0.005


class EvaluationLoop:
    """Evaluates at most every `coalesce_ms`; `evaluated_at` says when it last went round.

    A long round lets others have their turn between two rules: while windows are refilled or read
    for the first time, records are fetched and pages are taken in all the same.
    While `behind` says that a source has much to catch up with, changed samples wait for up to a
    second, for most of what is seen then is passing; pages, deadlines and the intervals of groups
    do not wait.
    `on_evaluated` hears of every evaluation before it is dispatched.
    """

    def __init__(
        self,
        *,
        engine: Callable[[], Engine],
        intake: Intake,
        dispatcher: Dispatcher,
        clock: Clock,
        telemetry: Telemetry,
        coalesce_ms: int,
        on_evaluated: Callable[[Evaluation], None] = lambda _evaluation: None,
        behind: Callable[[], bool] = lambda: False,
    ) -> None:
        self.evaluated_at = clock.monotonic()
        self._engine = engine
        self._intake = intake
        self._dispatcher = dispatcher
        self._clock = clock
        self._telemetry = telemetry
        self._coalesce_seconds = coalesce_ms / 1_000
        self._on_evaluated = on_evaluated
        self._behind = behind
        self._looked_at = -_BEHIND_SECONDS
        self._unfinished: list[Evaluation] = []

    async def run(self) -> None:
        """Go round until cancelled. A store that is down is waited for; nothing is dropped."""
        while True:
            started = self._clock.monotonic()
            try:
                await self.turn()
            except TemporaryError as error:
                logger.warning("will try again", extra={"because": str(error)})
                self._intake.look_again()
            self.evaluated_at = self._clock.monotonic()
            # A beat from start to start; a long round still leaves the loop some air.
            left = self._coalesce_seconds - (self.evaluated_at - started)
            await asyncio.sleep(max(left, self._coalesce_seconds / 10))

    async def turn(self) -> None:
        """Once round. Raises TemporaryError when the store cannot be reached."""
        keys = await self._intake.take_inbox()
        engine, now_ms = self._engine(), self._clock.now()
        if keys or engine.next_due_ms(now_ms) <= now_ms or (self._may_look() and engine.dirty):
            self._unfinished.append(await self._evaluate(engine, now_ms))
        while self._unfinished:
            evaluation = self._unfinished[0]
            await self._dispatcher.dispatch(evaluation.transitions, evaluation.firing)
            self._unfinished.pop(0)
        if keys:
            await self._intake.mark_handled(keys)

    def _may_look(self) -> bool:
        waited = self._clock.monotonic() - self._looked_at
        return waited >= _BEHIND_SECONDS or not self._behind()

    async def _evaluate(self, engine: Engine, now_ms: int) -> Evaluation:
        t, monotonic = self._telemetry, self._clock.monotonic
        busy, began = 0.0, monotonic()
        self._looked_at = began
        for evaluation in engine.evaluating(now_ms):  # noqa: B007  # the last is the whole
            spent = monotonic() - began
            if spent >= _SLICE_SECONDS:
                await asyncio.sleep(0)
                busy, began = busy + spent, monotonic()
                if self._engine() is not engine:
                    break  # reloaded: the new engine goes on with what this one has found
        t.rule_evaluation_duration.observe(busy + monotonic() - began)
        t.rule_evaluations.inc(evaluation.evaluated)
        t.series.set(engine.series_count)
        # here, for what cannot be dispatched is dispatched again
        for trigger in evaluation.transitions:
            if trigger.state is RuleState.FIRING:
                t.triggers.labels(trigger.rule).inc()
        for rule, message in evaluation.failures:
            t.rule_evaluation_failures.labels(rule).inc()
            logger.error("a rule failed", extra={"rule": rule, "because": message})
        self._on_evaluated(evaluation)
        return evaluation
