"""Which pins an arm ran with lately: one set, or a reason why that cannot be said."""

from collections.abc import Iterable

from rollbackd.app.pinning.baselines import Baselines
from rollbackd.evidence.pins import PinsTable
from rollbackd.model.events import PinsSeen
from rollbackd.model.known_good import BASELINE_ARM
from rollbackd.model.labels import Scope
from rollbackd.model.pins import Pins


def of_arm(seen: Iterable[PinsSeen], arm: str) -> list[Pins]:
    """The different sets of pins of an arm; an event without an arm is of the baseline."""
    return [each.pins for each in seen if (each.arm or BASELINE_ARM) == arm]


def differing(sets: Iterable[Pins]) -> dict[str, set[str]]:
    """Names of pins that several sets have, each with its different values."""
    values: dict[str, set[str]] = {}
    for pins in sets:
        for name, value in pins.items():
            values.setdefault(name, set()).add(value)
    return {name: found for name, found in sorted(values.items()) if len(found) > 1}


class ForeignBaseline:
    """Says whether a scope runs with other pins than the baseline that it is compared with (X2)."""

    def __init__(self, baselines: Baselines, pins: PinsTable) -> None:
        self._baselines = baselines
        self._pins = pins

    def __call__(self, scope: Scope, since_ms: int) -> bool:
        """Whether an event of the baseline arm after `since_ms` said so.

        Events that name no pins say nothing, and neither do pins that the set does not have.
        """
        good = self._baselines.in_force(scope)
        if good is None:
            return False
        seen = of_arm(self._pins.since(scope, since_ms), BASELINE_ARM)
        return any(good.pins.get(n, value) != value for pins in seen for n, value in pins.items())
