"""What a lever is asked and what it answers. All of it is JSON, because all of it is journaled."""

from enum import StrEnum
from typing import Final

import msgspec

from rollbackd.model.events import KnownGood
from rollbackd.model.labels import Scope

#: What one call on a lever takes at most, unless the lever says otherwise.
ACT_TIMEOUT_MS: Final = 5_000


class LeverKind(StrEnum):
    """What becomes of a lever's effect when the incident ends."""

    #: Moves one pointer back to the known good; it stays there.
    POINTER = "pointer"
    #: A temporary measure: registered with its undo and a deadline, given back at the end.
    TEMPORARY = "temporary"
    #: Only moves forward; there is nothing to give back.
    FORWARD = "forward"


class NoParams(msgspec.Struct, frozen=True, kw_only=True):
    """Of a lever that the decision tree can only name."""


class LeverSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the decision tree may say of a lever: where it belongs, and which params it takes."""

    kind: LeverKind
    #: A Struct: names, types, defaults and what they mean.
    params: type[msgspec.Struct] = NoParams
    #: Whether a call has to name the flag, alias or pointer.
    named: bool = False


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The one thing that a lever moves: which lever, for which scope, which name."""

    lever: str
    scope: Scope
    #: The flag, alias or pointer by its own name; empty where the scope has only one.
    name: str = ""

    def __str__(self) -> str:
        return f"{self.key}@{self.scope}"

    @property
    def key(self) -> str:
        """`<lever>` or `<lever>:<name>`: what the target is called within its scope."""
        return f"{self.lever}:{self.name}" if self.name else self.lever


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at the target now; `version` is what compare-and-set will compare.

    `undo` is whatever the lever itself needs to put this back; only the lever reads it.
    """

    value: dict[str, object]
    version: int
    undo: dict[str, object] = {}
    #: What else is so at the target, e.g. `{"documents": 120345}`; recorded with a known good set.
    facts: dict[str, object] = {}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One planned move of one target, from what was observed to what is wanted."""

    target: Target
    before: Observation
    after: dict[str, object]
    #: What was so when `after` stood there and was recorded as good; the preflight compares it.
    facts: dict[str, object] = {}


class Op(msgspec.Struct, frozen=True, kw_only=True):
    """Under whose name an act happens. Applying the same `op_id` twice changes nothing twice."""

    op_id: str
    epoch: int
    incident_id: str


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """An act that took effect; `replayed` when an earlier try of the same op had done it."""

    change: Change
    op_id: str
    version: int
    replayed: bool = False


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The sealed result of one act: what stood before, what was asked, what was read back.

    `after` is empty where something was given back and its target cannot be read since.
    """

    op_id: str
    target: Target
    before: dict[str, object]
    requested: dict[str, object]
    after: dict[str, object]
    version: int
    epoch: int
    started_at_ms: int
    sealed_at_ms: int
    reconciled: bool = False


class PlanRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a lever plans from."""

    target: Target
    observed: Observation
    known_good: KnownGood | None
    #: The lever's own settings from the decision tree.
    params: dict[str, object]
    #: Version pins that the bad arm was seen with.
    pins_seen: dict[str, str]
