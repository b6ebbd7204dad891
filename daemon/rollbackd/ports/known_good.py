"""What may be asked about known good sets."""

from typing import Protocol

import msgspec

from rollbackd.model.controls import ControlValue
from rollbackd.model.events import KnownGood, KnownTarget
from rollbackd.model.known_good import PinRequest, SetStatus
from rollbackd.model.labels import Scope


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A set that was asked for, as it is in the store."""

    known_good: KnownGood
    #: False when the same request had recorded it before.
    is_new: bool
    #: Required pins that it does not have.
    missing: list[str] = []
    #: Metrics and ratios without a sample in the window, and windowed ones with too few.
    not_measured: list[str] = []
    #: Targets that their lever could not read, with the reason.
    not_observed: dict[str, str] = {}


class LiveState(msgspec.Struct, frozen=True, kw_only=True):
    """What a scope runs with now: pins by arm as they were seen last, controls as they stand.

    `targets` holds what stands at targets outside the controls, by `<lever>` or `<lever>:<name>`.
    """

    scope: Scope
    arms: dict[str, dict[str, str]]
    controls: dict[str, ControlValue]
    targets: dict[str, KnownTarget] = {}
    #: Targets that their lever could not read, with the reason.
    not_observed: dict[str, str] = {}
    #: The id of the set in force, empty when there is none.
    in_force: str = ""


class KnownGoodDesk(Protocol):
    """What may be asked about known good sets. TemporaryError when nothing can be read."""

    async def record(self, request: PinRequest, *, by: str) -> Recorded:
        """Record what runs now, or what the request says, as a set.

        Raises ValueError for what is missing or was measured too seldom, ScopeBusyError while an
        incident is open and something live is asked for.
        """
        ...

    async def restate(self, set_id: str, status: SetStatus, *, by: str) -> KnownGood:
        """Promote or retire a set. Raises KeyError."""
        ...

    async def sets(self, scope: Scope | None, *, limit: int) -> list[KnownGood]:
        """Newest first; of one scope, or of all."""
        ...

    async def one(self, set_id: str) -> KnownGood:
        """One set. Raises KeyError."""
        ...

    async def in_force(self) -> dict[Scope, str]:
        """The id of the set in force of every scope that has one."""
        ...

    async def live(self, scope: Scope) -> LiveState:
        """What the scope runs with now; every target of the decision tree is read for it."""
        ...
