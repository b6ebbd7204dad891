"""`write_block`: fence the writers (requirements C2, K19, K20)."""

from typing import ClassVar, Final

from rollbackd.errors import PermanentError
from rollbackd.levers.control_lever import ControlLever
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest

#: What may be blocked; applications know no other word.
WIDTHS: Final = ("non_idempotent", "all")


class WriteBlock(ControlLever):
    """Blocks writes of a scope: applications answer 503 with Retry-After.

    `scope` is `non_idempotent` (the default) or `all`. Temporary: it never expires by itself,
    it is given back by the daemon or reported as overdue.
    """

    name: ClassVar[str] = "write_block"
    kind: ClassVar[LeverKind] = LeverKind.TEMPORARY
    control: ClassVar[Kind] = Kind.WRITES
    defaults: ClassVar[dict[str, object]] = {
        "scope": "non_idempotent",
        "retry_after_seconds": 30,
    }

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The block, or None when one at least as wide is in force."""
        wanted: ControlValue = {**self.params(request), "blocked": True}
        if wanted["scope"] not in WIDTHS:
            raise PermanentError(
                f"write block scope `{wanted['scope']}` is not one of {', '.join(WIDTHS)}"
            )
        now = request.observed.value
        wide_enough = now.get("scope") in {"all", wanted["scope"]}
        return None if now.get("blocked") and wide_enough else wanted
