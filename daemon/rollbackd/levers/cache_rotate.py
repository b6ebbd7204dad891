"""`cache_rotate`: move the cache namespace forward, never back and never by deleting (C5, K10)."""

import hashlib
from typing import ClassVar, Final

from rollbackd.levers.control_lever import ControlLever
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import Applied, LeverKind, Op, PlanRequest

#: Pins that every cache key depends on (requirements K9).
KEY_PINS: Final = ("INDEX_HASH", "PROMPT_VER", "MODEL_VER", "RERANK_CONF")


class CacheRotate(ControlLever):
    """Raises the generation and derives a namespace from it and the known good pins.

    A namespace that the bad arm may have written is never used again: the generation is part of
    it. There is nothing to give back.
    """

    name: ClassVar[str] = "cache_rotate"
    kind: ClassVar[LeverKind] = LeverKind.FORWARD
    control: ClassVar[Kind] = Kind.CACHE

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The next generation with its namespace."""
        now = request.observed.value.get("generation", 0)
        generation = (now if isinstance(now, int) else 0) + 1
        pins = request.known_good.pins if request.known_good else request.pins_seen
        return {"generation": generation, "namespace": cache_namespace(generation, pins)}

    async def revert(self, applied: Applied, op: Op) -> bool:  # noqa: ARG002  # the port's signature
        """Never: forward only."""
        return False


def cache_namespace(generation: int, pins: dict[str, str]) -> str:
    """16 hex digits over the generation and the pins that answers depend on."""
    text = "\0".join([str(generation), *(f"{name}={pins.get(name, '')}" for name in KEY_PINS)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
