"""Looks after known good sets every few seconds: what is served, its age, and the automatic pin."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from rollbackd.app.pinning.automatic import (
    AutoPin,
    PinPolicy,
    PinWatch,
    Sight,
    decided_before,
    look,
)
from rollbackd.app.pinning.baselines import Baselines
from rollbackd.app.targets import LiveTargets, reads_baseline
from rollbackd.clock import Clock
from rollbackd.errors import RollbackdError
from rollbackd.evidence.pins import PinsTable
from rollbackd.model.history import Act, History
from rollbackd.model.known_good import BASELINE_ARM, SETS_KEPT, PinRequest, SetStatus
from rollbackd.model.labels import Scope
from rollbackd.model.pins import Pins
from rollbackd.model.policy import DecisionTree, ExitTarget
from rollbackd.model.triggers import TargetReading
from rollbackd.ports import Controls, KnownGoodDesk, ScopeBusyError, Store
from rollbackd.promql.expressions import CompiledExpr
from rollbackd.settings import AutoPinSettings
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

LOOK_MS: Final = 5_000
#: An arm that no event named for so long has left.
_SEEN_MS: Final = 60_000
#: Who records.
BY: Final = "rollbackd"


class KnownGoodKeeper:
    """Keeps what is served in step with the store, and pins by itself where it is told to."""

    def __init__(
        self,
        *,
        store: Store,
        controls: Controls,
        pins: PinsTable,
        baselines: Baselines,
        targets: LiveTargets,
        desk: KnownGoodDesk,
        tree: Callable[[], DecisionTree],
        compiled: Callable[[str], CompiledExpr],
        paused: Callable[[], bool],
        settings: Callable[[], AutoPinSettings | None],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._controls = controls
        self._pins = pins
        self._baselines = baselines
        self._targets = targets
        self._desk = desk
        self._tree = tree
        self._compiled = compiled
        self._paused = paused
        self._settings = settings
        self._clock = clock
        self._telemetry = telemetry
        self._watches: dict[Scope, PinWatch] = {}
        self._said: dict[Scope, AutoPin] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_MS)
            try:
                await self.turn()
            except (RollbackdError, TimeoutError) as error:
                logger.warning("known good sets were not read", extra={"because": str(error)})

    async def turn(self) -> None:
        """Once round. Raises TemporaryError."""
        await self._baselines.look_everywhere()
        self._show_ages()
        settings = self._settings()
        if settings is not None:
            await self._look_for_pins(settings)

    def _show_ages(self) -> None:
        gauge, now_ms = self._telemetry.known_good_age, self._clock.now()
        # a set that was retired has no age
        gauge.clear()
        for each in self._baselines.all_in_force():
            age_ms = max(0, now_ms - each.recorded_at_ms)
            gauge.labels(each.scope.service, each.scope.region).set(age_ms / 1_000)

    async def _look_for_pins(self, settings: AutoPinSettings) -> None:
        longest_ms = max((b.cooldown_ms for b in self._tree().branches.values()), default=0)
        now_ms = self._clock.now()
        history = await self._store.history(
            acts_since_ms=now_ms - longest_ms, trips_since_ms=now_ms
        )
        policy = PinPolicy(after_ms=settings.after_ms, full_weight=settings.full_weight)
        for scope in self._pins.scopes():
            sight = await self._sight(scope, settings, history)
            watch, verdict = look(self._watches.pop(scope, None), sight, policy)
            if watch is not None:
                self._watches[scope] = watch
            self._say(scope, verdict)
            if watch is not None and verdict is AutoPin.PIN:
                await self._pin(scope, watch, settings)

    async def _sight(self, scope: Scope, settings: AutoPinSettings, history: History) -> Sight:
        now_ms = self._clock.now()
        known = self._baselines.in_force(scope)
        acts = [act for act in history.acts if act.scope == scope]
        arms: dict[str, list[Pins]] = {}
        for each in self._pins.since(scope, now_ms - _SEEN_MS):
            arms.setdefault(each.arm or BASELINE_ARM, []).append(each.pins)
        return Sight(
            now_ms=now_ms,
            paused=self._paused(),
            incident_open=any(act.is_open for act in acts),
            cooling=any(self._cools(act, now_ms) for act in acts),
            controls=await self._controls.read_all(scope),
            arms=arms,
            readings=self._read(scope, settings, now_ms),
            known=known.pins if known is not None else None,
        )

    def _read(self, scope: Scope, settings: AutoPinSettings, now_ms: int) -> list[TargetReading]:
        tree = {t.name: t for b in self._tree().branches.values() for t in b.exit_targets}
        chosen = [t for name, t in tree.items() if not settings.targets or name in settings.targets]
        if self._baselines.in_force(scope) is None:
            # the first set has nothing to be compared with
            chosen = [target for target in chosen if not self._compares(target)]
        return self._targets.of(scope, chosen, now_ms=now_ms)

    def _compares(self, target: ExitTarget) -> bool:
        return reads_baseline(self._compiled(target.value))

    def _cools(self, act: Act, now_ms: int) -> bool:
        branches = self._tree().branches
        ms = max(
            (branches[name].cooldown_ms for name in act.branches if name in branches), default=0
        )
        return act.ended_at_ms is not None and now_ms - act.ended_at_ms < ms

    def _say(self, scope: Scope, verdict: AutoPin) -> None:
        if self._said.get(scope) is not verdict:
            self._said[scope] = verdict
            about = {"scope": str(scope), "reason": verdict}
            logger.info("looked whether to pin by itself", extra=about)

    async def _pin(self, scope: Scope, watch: PinWatch, settings: AutoPinSettings) -> None:
        # whatever comes of it, the next one takes as long again
        self._watches.pop(scope, None)
        known = self._baselines.in_force(scope)
        sets = await self._store.known_good_sets(scope, limit=SETS_KEPT)
        if decided_before(sets, watch.pins, known.id if known is not None else ""):
            self._say(scope, AutoPin.KNOWN)
            return
        request = PinRequest(
            scope=scope,
            from_live=True,
            arm=watch.arm,
            note=f"green since {_moment(watch.since_ms)} on arm {watch.arm} at full weight",
            status=SetStatus(settings.status),
        )
        try:
            await self._desk.record(request, by=BY)
        except (ValueError, ScopeBusyError) as error:
            about = {"scope": str(scope), "because": str(error)}
            logger.warning("did not pin by itself", extra=about)


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
