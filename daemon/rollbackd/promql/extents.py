"""Between which numbers every value of a vector lies, without computing any of them.

Most of the time no sample that a rule reads is anywhere near its threshold, and then the rule
cannot hold, whatever its windows look like in detail. Databases skip blocks of rows by the same
means: Moerkotte, "Small Materialized Aggregates", VLDB 1998.

NaN lies in every extent: no comparison that an extent rules out holds for it.
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

#: More than rounding can move a mean or an interpolation out of the numbers it is made of.
_ROUNDING: Final = 1e-9


class Extent(NamedTuple):
    """No value is less than `least` or greater than `greatest`; crossed when there is none."""

    least: float
    greatest: float

    def rules_out(self, symbol: str, number: float) -> bool:
        """Whether `value <symbol> number` holds for no value; `!=` holds for NaN."""
        match symbol:
            case ">":
                return self.greatest <= number
            case ">=":
                return self.greatest < number
            case "<":
                return self.least >= number
            case "<=":
                return self.least > number
            case "==":
                return number < self.least or number > self.greatest
        return False

    def joined(self, other: "Extent") -> "Extent":
        """What both lie in."""
        return Extent(min(self.least, other.least), max(self.greatest, other.greatest))

    def rounded(self) -> "Extent":
        """A little wider, for what is computed in several steps."""
        if self.least > self.greatest:
            return self
        margin = _ROUNDING * max(abs(self.least), abs(self.greatest))
        return Extent(self.least - margin, self.greatest + margin)

    def mapped(self, function: Callable[[float], float]) -> "Extent | None":
        """What becomes of it by a function that only rises or only falls; None when unknown."""
        ends = function(self.least), function(self.greatest)
        return None if math.isnan(sum(ends)) else Extent(min(ends), max(ends))


NOTHING: Final = Extent(math.inf, -math.inf)
