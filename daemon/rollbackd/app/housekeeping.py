"""What is looked after once a second: health, gauges, the pause, the watchdog."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from rollbackd.app.coverage import InputCoverage
from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.evaluation import EvaluationLoop
from rollbackd.app.guard_board import GuardBoard
from rollbackd.app.rule_states import RuleStates
from rollbackd.app.systemd import ServiceManager
from rollbackd.clock import Clock
from rollbackd.errors import RollbackdError
from rollbackd.incidents.runner import Runner
from rollbackd.model.controls import Control
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import RuleState
from rollbackd.ports import Controls, Store
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine

logger = logging.getLogger(__name__)

#: The evaluation loop has to go round at least this often for the daemon to count as alive.
STALL_SECONDS: Final = 10.0
#: Scopes whose controls are read in one turn; with more of them, each has its turn.
_SCOPES_A_TURN: Final = 10
#: How often targets of measures that people left in force are read.
_LEFT_SECONDS: Final = 60.0
_BREAKER: Final = {"closed": 0, "half_open": 1, "open": 2}


class Housekeeping:
    """Looks at everything once a second, on the machine's own time."""

    def __init__(
        self,
        *,
        engine: Callable[[], Engine],
        store: Store,
        controls: Controls,
        dispatcher: Dispatcher,
        runner: Runner,
        evaluation: EvaluationLoop,
        clock: Clock,
        telemetry: Telemetry,
        service_manager: ServiceManager,
        source_healthy: Callable[[], bool],
        rule_states: RuleStates,
        coverage: InputCoverage,
        guard_board: GuardBoard,
    ) -> None:
        self.problems: list[str] = []
        self._engine = engine
        self._store = store
        self._controls = controls
        self._dispatcher = dispatcher
        self._runner = runner
        self._evaluation = evaluation
        self._clock = clock
        self._telemetry = telemetry
        self._service_manager = service_manager
        self._source_healthy = source_healthy
        self._rule_states = rule_states
        self._left_due = 0.0
        self._coverage = coverage
        self._guard_board = guard_board
        self._rules_shown: dict[tuple[str, RuleState], int] = {}
        #: Scopes that wait for their turn.
        self._scopes: list[Scope] = []

    async def run(self) -> None:
        """Look after things until cancelled."""
        due = self._clock.monotonic()
        while True:
            due += 1.0
            await asyncio.sleep(max(0.0, due - self._clock.monotonic()))
            late = self._clock.monotonic() - due
            self._telemetry.event_loop_lag.set(max(0.0, late))
            due = max(due, self._clock.monotonic() - 1.0)
            try:
                await self.turn()
            except Exception:
                # Looking must not be what brings the daemon down; the log says what went wrong.
                logger.exception("housekeeping failed")

    async def turn(self) -> None:
        """Once round."""
        problems = [
            *await self._look_at_store(),
            *await self._look_at_controls(),
            *([] if self._source_healthy() else ["kafka: no progress"]),
        ]
        alive = self._clock.monotonic() - self._evaluation.evaluated_at < STALL_SECONDS
        if alive:
            self._service_manager.alive()
        else:
            problems.append("evaluation: stalled")
        self.problems = problems
        self._guard_board.show()
        self._coverage.note()
        now_ms = self._clock.now()
        for incident in self._runner.current():
            self._runner.gauges.show(incident, now_ms)
        self._show_silences(now_ms)
        self._show_rules()
        if not problems:
            await self._keep_rule_states()
            await self._look_at_left_measures()

    async def _look_at_left_measures(self) -> None:
        if self._clock.monotonic() < self._left_due:
            return
        self._left_due = self._clock.monotonic() + _LEFT_SECONDS
        try:
            async with asyncio.timeout(5):
                await self._runner.left.look()
        except (RollbackdError, TimeoutError) as error:
            logger.warning("measures left in force were not read", extra={"because": str(error)})

    async def _keep_rule_states(self) -> None:
        try:
            async with asyncio.timeout(2):
                await self._rule_states.keep()
        except (RollbackdError, TimeoutError) as error:
            logger.warning("rule states were not kept", extra={"because": str(error)})

    def _show_silences(self, now_ms: int) -> None:
        gauge = self._telemetry.rule_selector_silence
        # Rules come and go with a reload.
        gauge.clear()
        for rule, selector, silent_ms in self._engine().silences(now_ms):
            gauge.labels(rule, selector).set(silent_ms / 1_000)

    def _show_rules(self) -> None:
        counts: dict[tuple[str, RuleState], int] = {}
        for rule, state, count in self._engine().active_counts():
            # Several rules may have one name.
            counts[rule, state] = counts.get((rule, state), 0) + count
        if counts == self._rules_shown:
            return
        gauge, self._rules_shown = self._telemetry.rule_state, counts
        gauge.clear()
        for (rule, state), count in counts.items():
            gauge.labels(rule, state).set(count)

    async def _look_at_store(self) -> list[str]:
        try:
            async with asyncio.timeout(2):
                await self._store.ping()
                self._dispatcher.pause = await self._store.pause()
                await self._guard_board.look()
        except (RollbackdError, TimeoutError) as error:
            self._telemetry.store_up.labels("store").set(0)
            return [f"store: {error or 'no answer'}"]
        self._telemetry.store_up.labels("store").set(1)
        return []

    async def _look_at_controls(self) -> list[str]:
        try:
            async with asyncio.timeout(2):
                self._scopes = self._scopes or await self._controls.scopes()
                now, self._scopes = (
                    self._scopes[:_SCOPES_A_TURN],
                    self._scopes[_SCOPES_A_TURN:],
                )
                for scope in now:
                    self._show(scope, await self._controls.read_all(scope))
        except (RollbackdError, TimeoutError) as error:
            self._telemetry.store_up.labels("controls").set(0)
            return [f"controls: {error or 'no answer'}"]
        self._telemetry.store_up.labels("controls").set(1)
        return []

    def _show(self, scope: Scope, controls: dict[str, Control]) -> None:
        t, name = self._telemetry, str(scope)
        degrade, cache = controls.get("degrade"), controls.get("cache")
        if degrade is not None:
            t.degrade_level.labels(name).set(_number(degrade.effective.get("level")))
        if cache is not None:
            t.cache_generation.labels(name).set(_number(cache.effective.get("generation")))
        throttle = controls.get("throttle")
        if throttle is not None:
            breaker = str(throttle.effective.get("breaker"))
            t.breaker_state.labels(name).set(_BREAKER.get(breaker, 0))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
