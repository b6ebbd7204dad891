"""The pins that each arm of a scope was last seen with."""

from collections.abc import Sequence

from rollbackd.model.events import REQUIRED_PINS, Pins, PinsSeen
from rollbackd.model.labels import Scope
from rollbackd.telemetry import Telemetry


class PinsTable:
    """Remembers the newest pins of each arm; older events do not overwrite newer ones."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._missing = {name: telemetry.events_missing_pins.labels(name) for name in REQUIRED_PINS}
        self._seen: dict[Scope, dict[str, PinsSeen]] = {}

    def note(self, seen: PinsSeen) -> None:
        """Take the pins of one event; see `note_all`."""
        self.note_all([seen])

    def note_all(self, sightings: Sequence[PinsSeen]) -> None:
        """Take the pins of a batch; required ones that are missing are counted."""
        for name, missing in self._missing.items():
            count = sum(name not in seen.pins for seen in sightings)
            if count:
                missing.inc(count)
        for seen in sightings:
            arms = self._seen.setdefault(seen.scope, {})
            known = arms.get(seen.arm)
            if known is None or known.time_ms <= seen.time_ms:
                arms[seen.arm] = seen

    def scopes_of(self, service: str) -> list[Scope]:
        """The scopes of a service that were seen."""
        return [scope for scope in self._seen if scope.service == service]

    def of(self, scope: Scope) -> dict[str, Pins]:
        """Arm -> pins."""
        return {arm: seen.pins for arm, seen in self._seen.get(scope, {}).items()}
