"""The pins that each arm of a scope was last seen with."""

from rollbackd.model.events import REQUIRED_PINS, Pins, PinsSeen
from rollbackd.model.labels import Scope
from rollbackd.telemetry import Telemetry


class PinsTable:
    """Remembers the newest pins of each arm; older events do not overwrite newer ones."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._missing = {name: telemetry.events_missing_pins.labels(name) for name in REQUIRED_PINS}
        self._seen: dict[Scope, dict[str, PinsSeen]] = {}

    def note(self, seen: PinsSeen) -> None:
        """Take one event's pins; required ones that are missing are counted."""
        for name, missing in self._missing.items():
            if name not in seen.pins:
                missing.inc()
        arms = self._seen.setdefault(seen.scope, {})
        known = arms.get(seen.arm)
        if known is None or known.time_ms <= seen.time_ms:
            arms[seen.arm] = seen

    def of(self, scope: Scope) -> dict[str, Pins]:
        """Arm -> pins."""
        return {arm: seen.pins for arm, seen in self._seen.get(scope, {}).items()}
