"""The cache of answers: how much of it is there, and the `cache.event` of a read."""

import random
from math import expm1
from typing import Any, Final

from rollbackd.app.generating.conditions import Arm
from rollbackd.app.generating.sides import Side
from rollbackd.app.generating.versions import namespace
from rollbackd.model.labels import Scope

#: How long an empty cache takes to have 63 % of what it can have.
_FILLED_MS: Final = 60_000
#: Of every key, and so of every entry.
_KEYED: Final = ("INDEX_HASH", "PROMPT_VER", "MODEL_VER")


class Cache:
    """The cache of one service; both arms keep to the namespaces of their pins."""

    def __init__(self, scope: Scope, sides: tuple[Side, Side], chance: random.Random) -> None:
        self._scope = scope
        self._sides = sides
        self._chance = chance
        self._generation = 0
        self._emptied_ms: int | None = None
        #: Share of the usual hits that there are.
        self.warmth = 1.0

    def refresh(self, generation: int, at_ms: int) -> None:
        """Once a second: in another generation nothing is found at first."""
        if generation != self._generation:
            self._generation, self._emptied_ms = generation, at_ms
            for side in self._sides:
                side.namespace = namespace(side.pins, generation)
        if self._emptied_ms is not None:
            self.warmth = -expm1((self._emptied_ms - at_ms) / _FILLED_MS)

    def read(self, at_ms: int, side: Side, *, hit: bool, both_run: bool) -> dict[str, Any]:
        """A read as it is logged; only while both arms run, entries can be of the wrong one."""
        chance, condition = self._chance.random, side.condition
        entry = {name: side.pins[name] for name in _KEYED}
        shadow = False
        if hit and both_run:
            kind = chance()
            if kind < condition.foreign_entries:
                other = self._sides[side.arm == Arm.BASELINE]
                entry["INDEX_HASH"] = other.pins["INDEX_HASH"]
            elif kind < condition.foreign_entries + condition.unkeyed_entries:
                del entry["PROMPT_VER"]
            shadow = chance() < condition.shadow_entries
        return {
            "event": "cache.event",
            "ts": at_ms / 1_000,
            "service": self._scope.service,
            "region": self._scope.region,
            "arm": side.arm,
            "hit": hit,
            "namespace": side.namespace,
            "shadow": shadow,
            "entry_pins": entry,
            "pins": side.pins,
        }
