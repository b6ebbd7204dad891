"""What a number, a text or a list may be, said as an error says it. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

#: Whole numbers are exact up to here, in JSON and in a float; a bound this far is left unsaid.
EXACT: Final = 2**53
_SHOWN: Final = 60


class Objection(NamedTuple):
    """What is wrong with a value, and what to do about it."""

    message: str
    fix: str


class Bounds(NamedTuple):
    """Of a number, or of a length; None where there is none."""

    least: float | None = None
    most: float | None = None
    #: As `least`, and not allowed itself.
    above: float | None = None

    def objection(self, value: float, shown: str) -> Objection | None:
        """What is wrong with a number that is written as `shown`; None for one inside."""
        if self.least is not None and value < self.least:
            return Objection(f"`{shown}` is below the minimum `{self.least}`", self._fix())
        if self.above is not None and value <= self.above:
            return Objection(f"`{shown}` is not above `{self.above}`", self._fix())
        if self.most is not None and value > self.most:
            return Objection(f"`{shown}` is above the maximum `{self.most}`", self._fix())
        return None

    def objection_to_length(self, value: str | Sequence[object]) -> Objection | None:
        """What is wrong with the length of a text or a list; None for one that fits."""
        kind, unit = ("text", "character") if isinstance(value, str) else ("list", "item")
        length = len(value)
        if self.least is not None and length < self.least:
            said = f"has {_counted(length, unit)}" if length else "is empty"
            return Objection(f"the {kind} {said}", f"write {_counted(self.least, unit)} or more")
        if self.most is not None and length > self.most:
            said = f"`{value[:_SHOWN]}...`" if isinstance(value, str) else f"the {kind}"
            most = _counted(self.most, unit)
            return Objection(f"{said} has {_counted(length, unit)}", f"shorten it to {most}")
        return None

    def _fix(self) -> str:
        most = None if self.most == EXACT else self.most
        if self.above is not None:
            up_to = "" if most is None else f" and at most `{most}`"
            return f"use a number above `{self.above}`{up_to}"
        if self.least is None:
            return f"use `{most}` or less"
        if most is None:
            return f"use `{self.least}` or more"
        return f"use a number from `{self.least}` to `{most}`"


def _counted(number: float, unit: str) -> str:
    return f"{number:g} {unit}" if number == 1 else f"{number:g} {unit}s"
