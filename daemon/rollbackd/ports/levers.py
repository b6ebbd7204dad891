"""Levers: what moves one kind of thing, and how it says that it could not."""

from collections.abc import Mapping
from typing import Protocol

from rollbackd.errors import PermanentError
from rollbackd.model.levers import Applied, Change, LeverKind, Observation, Op, PlanRequest, Target


class TargetMovedError(PermanentError):
    """The target is not as it was observed: somebody else moved it. Look again, then decide."""


class FencedOffError(PermanentError):
    """A higher epoch has written the target: this process no longer owns the scope."""


class Lever(Protocol):
    """Moves one kind of thing, by compare-and-set, and reads it back."""

    @property
    def name(self) -> str:
        """The name in the decision tree, e.g. `flag_off`."""
        ...

    @property
    def kind(self) -> LeverKind:
        """What becomes of its effect when the incident ends."""
        ...

    @property
    def reader_timeout_ms(self) -> int | None:
        """How long after a write `verify` may wait for readers; None when none can lag.

        Whatever they say by then, the read-back of the target itself counts, and people are told.
        """
        ...

    @property
    def act_timeout_ms(self) -> int:
        """How long one call on it may take during an act; what takes longer is tried again.

        Mostly `ACT_TIMEOUT_MS`. A look beside an act, as for drift, is given its own, shorter time.
        """
        ...

    def place(self, target: Target) -> str:
        """What the target really is: one text for the targets of scopes that share one thing."""
        ...

    async def observe(self, target: Target) -> Observation:
        """What stands at the target now. Changes nothing."""
        ...

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        """The wanted value, or None when there is nothing to move. Pure.

        Raises PermanentError when the request cannot be met (no such known good value).
        """
        ...

    async def preflight(self, change: Change) -> str:
        """Why the change must not be made now, or an empty string. Changes nothing."""
        ...

    async def apply(self, change: Change, op: Op) -> Applied:
        """Make the change if the target still is as observed.

        Idempotent by `op.op_id`. Raises TargetMovedError, FencedOffError, or TemporaryError when
        it cannot be reached.
        """
        ...

    async def verify(self, change: Change) -> bool:
        """Whether the target holds `change.after`: false before apply, true after."""
        ...

    async def revert(self, applied: Applied, op: Op) -> bool:
        """Put back what stood before, if the target still holds what we put there.

        False when it does not: it is left alone.

        Idempotent by `op.op_id`; raises as `apply` does.
        """
        ...


#: Levers by name, as the composition root builds them.
LeverTable = Mapping[str, Lever]
