"""The switches that applications read, and what is remembered of them."""

from collections.abc import Mapping
from typing import Protocol

from rollbackd.model.controls import Control, ControlValue, ControlWrite
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op


class Controls(Protocol):
    """The switches that applications read, per scope, fenced by epoch."""

    async def read(self, scope: Scope, name: str) -> Control:
        """The control as it stands; one that was never written has version 0."""
        ...

    async def read_all(self, scope: Scope) -> dict[str, Control]:
        """Every control of the scope that was ever written, by name."""
        ...

    async def set_intent(
        self, scope: Scope, name: str, value: ControlValue, *, now_ms: int
    ) -> Control:
        """Write the rollout's own intent; never touches a trip, needs no epoch."""
        ...

    async def set_trip(
        self,
        scope: Scope,
        name: str,
        value: ControlValue | None,
        *,
        expected_version: int,
        op: Op,
        now_ms: int,
    ) -> ControlWrite:
        """Lay a trip over the intent, or take it away with None. One atomic compare and write.

        In this order: a known `op_id` is `replayed`; an epoch below the scope's highest is
        `stale_epoch`; a version other than the expected one is `conflict`; else `applied`.
        """
        ...

    async def fence(self, scope: Scope, epoch: int) -> int:
        """Raise the scope's highest epoch, never lower it, and change no control.

        Answers with the highest one: above `epoch`, whoever asks owns the scope no longer.
        """
        ...

    async def scopes(self) -> list[Scope]:
        """Scopes that have any control."""
        ...

    async def close(self) -> None:
        """Release connections. Idempotent."""
        ...


class LastKnown(Protocol):
    """The controls from memory, for readers who must have an answer whatever is down."""

    def last_known(self, scope: Scope) -> Mapping[str, Control]:
        """Every control of the scope by name, as it was last read or written. Never fails."""
        ...
