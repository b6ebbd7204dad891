"""A lever on a dictionary, with faults that a real target cannot be asked for."""

import asyncio
from collections import Counter
from collections.abc import Callable

from rollbackd.model.levers import (
    ACT_TIMEOUT_MS,
    Applied,
    Change,
    LeverKind,
    Observation,
    Op,
    PlanRequest,
    Target,
)
from rollbackd.ports import TargetMovedError

#: Raises, waits or does nothing.
Fault = Callable[[], object]


class FakeLever:
    """Holds one value. `faults[verb]` are used up one a call, before the verb's own work;

    `late[verb]` after it: the effect happened, the answer did not come.
    """

    name = "fake"
    reader_timeout_ms: int | None = None
    act_timeout_ms = ACT_TIMEOUT_MS

    def __init__(self, kind: LeverKind = LeverKind.POINTER) -> None:
        self.kind = kind
        self.value: dict[str, object] = {"index": "bad"}
        self.version = 1
        self.ops: dict[str, int] = {}
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, list[Fault]] = {}
        self.late: dict[str, list[Fault]] = {}
        self.planned: dict[str, object] | None = {"index": "good"}
        self.objection = ""
        self.is_shared = False
        self.requests: list[PlanRequest] = []

    def place(self, target: Target) -> str:
        return target.key if self.is_shared else str(target)

    async def observe(self, target: Target) -> Observation:  # noqa: ARG002
        await self._fault("observe", self.faults)
        return Observation(value=self.value, version=self.version, undo={"trip": self.value})

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        self.requests.append(request)
        return self.planned

    async def preflight(self, change: Change) -> str:  # noqa: ARG002
        await self._fault("preflight", self.faults)
        return self.objection

    async def apply(self, change: Change, op: Op) -> Applied:
        await self._fault("apply", self.faults)
        replayed = op.op_id in self.ops
        if not replayed:
            if self.version != change.before.version:
                raise TargetMovedError("somebody was faster")
            self._set(change.after, op)
        await self._fault("apply", self.late)
        return Applied(change=change, op_id=op.op_id, version=self.version, replayed=replayed)

    async def verify(self, change: Change) -> bool:
        await self._fault("verify", self.faults)
        return self.value == change.after

    async def revert(self, applied: Applied, op: Op) -> bool:
        await self._fault("revert", self.faults)
        if op.op_id not in self.ops:
            if self.value != applied.change.after:
                return False
            self._set(applied.change.before.value, op)
        await self._fault("revert", self.late)
        return True

    def _set(self, value: dict[str, object], op: Op) -> None:
        self.value, self.version = value, self.version + 1
        self.ops[op.op_id] = self.version

    async def _fault(self, verb: str, faults: dict[str, list[Fault]]) -> None:
        if faults is self.faults:
            self.calls[verb] += 1
        if faults.get(verb):
            answer = faults[verb].pop(0)()
            if asyncio.iscoroutine(answer):
                await answer
        else:
            await asyncio.sleep(0)


def raises(error: Exception) -> Fault:
    """A fault that raises."""

    def fault() -> object:
        raise error

    return fault
