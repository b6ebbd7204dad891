"""Side effects: a dedupe decision before each, a receipt after it. Blocked writes wait."""

import random
from collections import deque
from typing import Any, Final

from rollbackd.app.generating.plans import Plan
from rollbackd.app.generating.schedule import Schedule, Timed
from rollbackd.app.generating.sides import Side
from rollbackd.model.labels import Scope

#: Requests that have a side effect, and effects that are asked for twice by an impatient client.
_SHARE: Final = 0.05
_ASKED_AGAIN: Final = 0.03
_ACTIONS: Final = ("charge", "email", "ticket")
#: Keys that a client may come back with.
_REMEMBERED: Final = 500
_APPLIED_MS: Final = (20, 400)
_AGAIN_MS: Final = (1_000, 8_000)
_REPLAYED_MS: Final = (5_000, 90_000)


class Effects:
    """The effects of one service."""

    def __init__(self, plan: Plan, scope: Scope, chance: random.Random, schedule: Schedule) -> None:
        self._scope = scope
        self._chance = chance
        self._schedule = schedule
        self._family = f"{plan.seed & 0xFFFFFFFF:08x}-{scope.region}"
        self._count = 0
        #: Keys with their effect ids and actions.
        self._known: deque[tuple[str, str, str]] = deque(maxlen=_REMEMBERED)
        self._blocked = False
        #: Who asked for what waits.
        self._waiting: list[Side] = []

    def refresh(self, at_ms: int, out: list[Timed], *, blocked: bool) -> None:
        """Once a second: what waited is done when writes are open again."""
        self._blocked = blocked
        if self._waiting and not blocked:
            for side in self._waiting:
                self._new(at_ms, side, out)
            self._waiting.clear()

    def request(self, at_ms: int, side: Side, out: list[Timed]) -> bool:
        """Whatever one answered request does to the world; whether that has to wait."""
        chance = self._chance.random
        if chance() >= _SHARE:
            return False
        if self._blocked:
            self._waiting.append(side)
            return True
        kind = chance()
        if self._known and kind < side.condition.conflicts:
            out.append((at_ms, self._decision(at_ms, side, "conflict", self._earlier())))
        elif self._known and kind < side.condition.conflicts + _ASKED_AGAIN:
            out.append((at_ms, self._decision(at_ms, side, "duplicate", self._earlier())))
        else:
            self._new(at_ms, side, out)
        return False

    def _new(self, at_ms: int, side: Side, out: list[Timed]) -> None:
        chance = self._chance
        self._count += 1
        key, effect_id = f"{self._family}-{self._count:06x}", f"fx-{self._count:06x}"
        action = _ACTIONS[int(chance.random() * 3)]
        self._known.append((key, effect_id, action))
        out.append((at_ms, self._decision(at_ms, side, "new", (key, "", action))))
        applied_ms = at_ms + chance.randint(*_APPLIED_MS)
        self._applied(applied_ms, side, key, effect_id, action)
        condition = side.condition
        if condition.doubled_effects and chance.random() < condition.doubled_effects:
            again_ms = applied_ms + chance.randint(*_AGAIN_MS)
            self._applied(again_ms, side, key, f"{effect_id}-b", action)
        if condition.replayed_receipts and chance.random() < condition.replayed_receipts:
            again_ms = applied_ms + chance.randint(*_REPLAYED_MS)
            self._applied(again_ms, side, key, effect_id, action)

    def _earlier(self) -> tuple[str, str, str]:
        return self._known[int(self._chance.random() * len(self._known))]

    def _decision(
        self, at_ms: int, side: Side, decision: str, known: tuple[str, str, str]
    ) -> dict[str, Any]:
        key, effect_id, _ = known
        event = self._event("dedupe.decision", at_ms, side)
        event |= {"key": key, "decision": decision}
        if effect_id:
            event["effect_id"] = effect_id
        return event

    def _applied(self, at_ms: int, side: Side, key: str, effect_id: str, action: str) -> None:
        event = self._event("effect.receipt", at_ms, side)
        event |= {"key": key, "effect_id": effect_id, "status": "sealed", "action": action}
        self._schedule.add(at_ms, event)

    def _event(self, name: str, at_ms: int, side: Side) -> dict[str, Any]:
        return {
            "event": name,
            "ts": at_ms / 1_000,
            "service": self._scope.service,
            "region": self._scope.region,
            "arm": side.arm,
        }
