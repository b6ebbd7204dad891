"""`write_block`: fence the writers (requirements C2, K19, K20)."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from rollbackd.levers.control_lever import ControlLever
from rollbackd.levers.lever_type import params_of
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest


class WriteBlockParams(msgspec.Struct, frozen=True, kw_only=True):
    """How wide the block is, and what applications tell their callers."""

    scope: Annotated[
        Literal["non_idempotent", "all"],
        Meta(description="Which writes are refused; `all` also those that can be repeated."),
    ] = "non_idempotent"
    retry_after_seconds: Annotated[
        int, Meta(ge=0, le=86_400, description="The `Retry-After` of refused writes.")
    ] = 30


class WriteBlock(ControlLever):
    """Blocks writes of a scope: applications answer 503 with Retry-After.

    `scope` is `non_idempotent` (the default) or `all`. Temporary: it never expires by itself,
    it is given back by the daemon or reported as overdue.
    """

    name: ClassVar[str] = "write_block"
    kind: ClassVar[LeverKind] = LeverKind.TEMPORARY
    control: ClassVar[Kind] = Kind.WRITES
    Params: ClassVar[type[msgspec.Struct]] = WriteBlockParams

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The block, or None when one at least as wide is in force."""
        params = params_of(request, WriteBlockParams)
        wanted: ControlValue = {
            "scope": params.scope,
            "retry_after_seconds": params.retry_after_seconds,
            "blocked": True,
        }
        now = request.observed.value
        wide_enough = now.get("scope") in {"all", wanted["scope"]}
        return None if now.get("blocked") and wide_enough else wanted
