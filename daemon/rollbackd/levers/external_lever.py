"""What all levers on other systems share: read, compare, fence, move, read back."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import orjson

from rollbackd.errors import PermanentError
from rollbackd.levers.lever_type import Surroundings
from rollbackd.model.levers import (
    ACT_TIMEOUT_MS,
    Applied,
    Change,
    LeverKind,
    NoParams,
    Observation,
    Op,
    PlanRequest,
    Target,
)
from rollbackd.ports import FencedOffError, TargetMovedError


class ExternalLever(ABC):
    """Moves one kind of thing in another system.

    A subclass reads (`observe`), moves (`move`) and says what is wanted (`plan`) and what must be
    so before (`preflight`). Idempotence is by state: a target that holds what is wanted is not
    moved again, which a retry after a lost reply and a restart both rely on. Before each move the
    scope's epoch is raised in the controls, so that a late owner is turned away; between that and
    the move the target's own compare-and-set is what protects it, and each lever's page says
    whether it has one.
    """

    kind: ClassVar[LeverKind] = LeverKind.POINTER
    Params: ClassVar[type[msgspec.Struct]] = NoParams
    Settings: ClassVar[type[msgspec.Struct] | None]
    named: ClassVar[bool] = True
    #: How long readers may take to follow a write.
    reader_timeout_ms: ClassVar[int | None] = 60_000
    act_timeout_ms: ClassVar[int] = ACT_TIMEOUT_MS

    def __init__(self, name: str, surroundings: Surroundings) -> None:
        self._name = name
        self._controls = surroundings.controls
        self._clock = surroundings.clock

    @classmethod
    def kind_with(cls, settings: Any) -> LeverKind:  # noqa: ARG003  # for those whose settings say
        """What becomes of the effect of a lever with these settings."""
        return cls.kind

    @property
    def name(self) -> str:
        """The name in the levers file and in the decision tree."""
        return self._name

    def place(self, target: Target) -> str:
        """By its name: whoever names it means one thing, whatever the scope."""
        return target.key

    @abstractmethod
    async def observe(self, target: Target) -> Observation:
        """What stands at the target now. Raises PermanentError when there is no such target."""

    @abstractmethod
    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """Make the target hold `wanted`, if it still holds `now`: exactly one mutating call.

        Raises TargetMovedError when the target itself says that it holds something else.
        """

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        """The recorded value, or None when it is the one in force."""
        good = known_target(request)
        return None if request.observed.value == good else good

    async def preflight(self, change: Change) -> str:
        """Refuse to point at nothing."""
        return points_at_nothing(change) if self.kind is LeverKind.POINTER else ""

    async def apply(self, change: Change, op: Op) -> Applied:
        """Move the target, if it still is as it was observed."""
        now = await self.observe(change.target)
        if now.value == change.after:
            return Applied(change=change, op_id=op.op_id, version=now.version, replayed=True)
        if now.version != change.before.version:
            raise TargetMovedError(f"{change.target} holds {now.value}, not what was observed")
        await self._fence(change.target, op)
        await self.move(change.target, now, change.after, op)
        after = await self.observe(change.target)
        return Applied(change=change, op_id=op.op_id, version=after.version)

    async def verify(self, change: Change) -> bool:
        """Read the target back, and ask its readers where they can be asked."""
        now = await self.look_again(change)
        return now.value == change.after and await self.seen_by_readers(change)

    async def look_again(self, change: Change) -> Observation:
        """What stands where the change was made; a lever whose names may move meanwhile differs."""
        return await self.observe(change.target)

    async def seen_by_readers(self, change: Change) -> bool:  # noqa: ARG002  # for those who can ask
        """Whether who reads the target sees the change."""
        return True

    async def revert(self, applied: Applied, op: Op) -> bool:
        """Put back what stood before, if the target holds what we put there."""
        change = applied.change
        now = await self.look_again(change)
        if now.value == change.before.value:
            return True
        if now.value != change.after:
            return False
        await self._fence(change.target, op)
        await self.put_back(change, now, op)
        return True

    async def put_back(self, change: Change, now: Observation, op: Op) -> None:
        """Undo the move; `change.before.undo` holds what `observe` kept for this."""
        await self.move(change.target, now, change.before.value, op)

    async def _fence(self, target: Target, op: Op) -> None:
        highest = await self._controls.fence(target.scope, op.epoch)
        if highest > op.epoch:
            raise FencedOffError(f"{target}: epoch {op.epoch} is stale, {highest} wrote")


def known_target(request: PlanRequest) -> dict[str, object]:
    """What stood at the target when the known good set was recorded. Raises PermanentError."""
    target, known_good = request.target, request.known_good
    known = known_good.targets.get(target.key) if known_good is not None else None
    if known is None or not known.value:
        raise PermanentError(
            f"the known good set of {target.scope} does not hold `{target.key}`; record it with "
            "`rollbackd pins record` before a rollout"
        )
    return known.value


def points_at_nothing(change: Change) -> str:
    """The objection to a pointer that would be empty or have an empty part; else nothing."""
    if not change.after or any(value in ("", None, [], {}) for value in change.after.values()):
        return f"{change.target} would point at nothing: {change.after}"
    return ""


def version_of(value: Mapping[str, object]) -> int:
    """A version for a target that counts none: 48 bits of a hash over what it holds.

    Equal contents are the same version, so that compare-and-set compares contents.
    """
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return int.from_bytes(hashlib.sha256(text).digest()[:6])


def differing_facts(expected: Mapping[str, object], found: Mapping[str, object]) -> str:
    """How a target differs from what was recorded of it; facts that nobody recorded are passed."""
    parts = [
        f"{name} is {_said(found.get(name))} instead of {_said(value)}"
        for name, value in sorted(expected.items())
        if found.get(name) != value
    ]
    return ", ".join(parts)


def _said(value: Any) -> str:
    return "not known" if value is None else f"`{value}`"
