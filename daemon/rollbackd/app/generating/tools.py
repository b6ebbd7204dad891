"""Tool calls: most requests need none, some need a few, and some do not find their way out."""

import random
from typing import Any, Final

from rollbackd.app.generating.plans import Plan
from rollbackd.app.generating.schedule import Schedule, Timed
from rollbackd.app.generating.sides import Side
from rollbackd.model.labels import Scope

_SHARE: Final = 0.06
#: Calls that are made once more because the first one timed out; that is no loop.
_REPEATED: Final = 0.02
_TOOLS: Final = ("search", "fetch", "calculator", "calendar")
_LOOP: Final = (4, 7)
_BETWEEN_MS: Final = (80, 600)


class Tools:
    """The tool calls of one service."""

    def __init__(self, plan: Plan, scope: Scope, chance: random.Random, schedule: Schedule) -> None:
        self._scope = scope
        self._chance = chance
        self._schedule = schedule
        self._family = f"{plan.seed & 0xFFFFFFFF:08x}{scope.region}"
        self._traces = 0

    def request(self, at_ms: int, side: Side, out: list[Timed]) -> None:
        """The calls of one request."""
        chance = self._chance
        loops = side.condition.tool_loops
        if loops and chance.random() < loops:
            self._calls(at_ms, side, out, [self._hashes()] * chance.randint(*_LOOP))
            return
        if chance.random() >= _SHARE:
            return
        calls = [self._hashes() for _ in range(1 + int(chance.random() * 3))]
        if chance.random() < _REPEATED:
            calls.append(calls[-1])
        self._calls(at_ms, side, out, calls)

    def _hashes(self) -> tuple[str, str, str]:
        chance = self._chance
        tool = _TOOLS[int(chance.random() * len(_TOOLS))]
        return tool, f"{chance.getrandbits(48):012x}", f"{chance.getrandbits(48):012x}"

    def _calls(
        self, at_ms: int, side: Side, out: list[Timed], calls: list[tuple[str, str, str]]
    ) -> None:
        self._traces += 1
        trace = f"{self._family}{self._traces:08x}"
        for number, (tool, arguments, output) in enumerate(calls):
            event: dict[str, Any] = {
                "event": "tool.call",
                "ts": at_ms / 1_000,
                "service": self._scope.service,
                "region": self._scope.region,
                "arm": side.arm,
                "trace_id": trace,
                "tool": tool,
                "args_hash": arguments,
                "output_hash": output,
            }
            if number:
                self._schedule.add(at_ms, event)
            else:
                out.append((at_ms, event))
            at_ms += self._chance.randint(*_BETWEEN_MS)
