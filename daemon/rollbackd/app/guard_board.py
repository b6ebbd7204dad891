"""Which guardrails stand in the way at the moment, for the status and the metrics."""

from typing import Final

from rollbackd.app.dispatch import Dispatcher
from rollbackd.clock import Clock
from rollbackd.incidents.guardrails.by_people import (
    CHANGE_FREEZE,
    MAINTENANCE,
    windows_in_force,
)
from rollbackd.model.decisions import Reason
from rollbackd.model.history import Latch
from rollbackd.ports import Store
from rollbackd.telemetry import Telemetry

#: Guardrails that may stand in the way for longer than a moment.
_STANDING: Final = (
    Reason.PAUSED,
    Reason.OBSERVE_MODE,
    Reason.MAINTENANCE_WINDOW,
    Reason.CHANGE_FREEZE,
    Reason.CORRELATED_TRIPS,
    Reason.FLAP_LATCH,
    Reason.INEFFECTIVE_CHAIN,
)


class GuardBoard:
    """Reads the latches from the store now and then; everything else is at hand."""

    def __init__(
        self, *, dispatcher: Dispatcher, store: Store, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._dispatcher = dispatcher
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._latches: list[Latch] = []

    async def look(self) -> None:
        """Read the latches anew. Raises TemporaryError."""
        self._latches = [latch for latch in await self._store.latches() if latch.holds]

    def show(self) -> None:
        """Set the gauges."""
        gauge = self._telemetry.guard_state
        for reason, count in self._counts().items():
            gauge.labels(reason).set(count)
        self._telemetry.paused.set(self._dispatcher.pause_in_force is not None)

    def standing(self) -> dict[str, list[str]]:
        """What stands in the way, in words, by reason; without those that do not."""
        tree, now_ms = self._dispatcher.tree, self._clock.now()
        pause = self._dispatcher.pause_in_force
        waves = self._dispatcher.latching.wave_until_ms
        found = {
            Reason.PAUSED: [f"{pause.reason} (by {pause.by})"] if pause else [],
            Reason.OBSERVE_MODE: self._observing(),
            Reason.MAINTENANCE_WINDOW: [
                window.name for window in windows_in_force(tree, MAINTENANCE, now_ms)
            ],
            Reason.CHANGE_FREEZE: [
                f"{window.name} ({tree.change_freeze})"
                for window in windows_in_force(tree, CHANGE_FREEZE, now_ms)
            ],
            Reason.CORRELATED_TRIPS: ["a wave of trips is on"] if now_ms < waves else [],
            Reason.FLAP_LATCH: self._latched(Reason.FLAP_LATCH),
            Reason.INEFFECTIVE_CHAIN: self._latched(Reason.INEFFECTIVE_CHAIN),
        }
        return {str(reason): what for reason, what in found.items() if what}

    def _counts(self) -> dict[str, int]:
        standing = self.standing()
        return {reason: len(standing.get(reason, [])) for reason in _STANDING}

    def _observing(self) -> list[str]:
        tree = self._dispatcher.tree
        if tree.mode == "observe":
            return ["the whole tree"]
        return [name for name, policy in tree.branches.items() if policy.mode == "observe"]

    def _latched(self, reason: Reason) -> list[str]:
        return [
            f"{latch.scope} {latch.branch or 'every branch'}: {latch.because}"
            for latch in self._latches
            if latch.reason is reason
        ]
