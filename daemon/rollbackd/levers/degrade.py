"""`degrade`: answer with less work (requirements P1)."""

from typing import ClassVar

from rollbackd.errors import PermanentError
from rollbackd.levers.control_lever import ControlLever
from rollbackd.model.controls import ControlValue, Kind
from rollbackd.model.levers import LeverKind, PlanRequest


class Degrade(ControlLever):
    """Raises the degrade level: 1 skip rerank, 2 lower k, 3 short chain, 4 cite only.

    Temporary. It never lowers a level that is higher already.
    """

    name: ClassVar[str] = "degrade"
    kind: ClassVar[LeverKind] = LeverKind.TEMPORARY
    control: ClassVar[Kind] = Kind.DEGRADE
    defaults: ClassVar[dict[str, object]] = {"level": 2}

    def plan(self, request: PlanRequest) -> ControlValue | None:
        """The wanted level, or None when it is reached."""
        level, now = self.params(request)["level"], request.observed.value.get("level", 0)
        if not isinstance(level, int) or isinstance(level, bool) or not 0 <= level <= 4:
            raise PermanentError(f"degrade level `{level}` is not one of 0, 1, 2, 3, 4")
        return None if isinstance(now, int) and now >= level else {"level": level}
