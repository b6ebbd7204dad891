"""The evaluation loop: looks when something has changed or time is due, and dispatches."""

import asyncio
import logging
from collections.abc import Callable

from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.intake import Intake
from rollbackd.clock import Clock
from rollbackd.errors import TemporaryError
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine, Evaluation

logger = logging.getLogger(__name__)


class EvaluationLoop:
    """Evaluates at most every `coalesce_ms`; `evaluated_at` says when it last went round.

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
    ) -> None:
        self.evaluated_at = clock.monotonic()
        self._engine = engine
        self._intake = intake
        self._dispatcher = dispatcher
        self._clock = clock
        self._telemetry = telemetry
        self._coalesce_seconds = coalesce_ms / 1_000
        self._on_evaluated = on_evaluated
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
        if engine.dirty or keys or engine.next_due_ms(now_ms) <= now_ms:
            self._unfinished.append(self._evaluate(engine, now_ms))
        while self._unfinished:
            evaluation = self._unfinished[0]
            await self._dispatcher.dispatch(evaluation.transitions, evaluation.firing)
            self._unfinished.pop(0)
        if keys:
            await self._intake.mark_handled(keys)

    def _evaluate(self, engine: Engine, now_ms: int) -> Evaluation:
        t, started = self._telemetry, self._clock.monotonic()
        evaluation = engine.evaluate(now_ms)
        t.rule_evaluation_duration.observe(self._clock.monotonic() - started)
        t.series.set(engine.series_count)
        for rule, message in evaluation.failures:
            t.rule_evaluation_failures.labels(rule).inc()
            logger.error("a rule failed", extra={"rule": rule, "because": message})
        self._on_evaluated(evaluation)
        return evaluation
