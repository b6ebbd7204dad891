"""Many decoded items put together into one batch."""

from dataclasses import dataclass

from rollbackd.model.events import Alert, Batch, KnownGood, PinsSeen, Rows
from rollbackd.model.facts import AnyFact, ChangeEvent
from rollbackd.model.labels import Scope
from rollbackd.model.pins import Pins


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """Who ran with which pins. The reader makes one object of what it reads alike."""

    scope: Scope
    arm: str
    pins: Pins


class Collector:
    """What was decoded so far. An item that is rejected half way leaves nothing behind.

    Equal pins of one scope and arm are one sighting, at the latest time.
    """

    def __init__(self) -> None:
        self.samples = Rows()
        self.alerts: list[Alert] = []
        self.known_good: list[KnownGood] = []
        self.facts: list[AnyFact] = []
        self.changes: list[ChangeEvent] = []
        #: How many alerts notifications said they had left out.
        self.truncated = 0
        self.sightings: dict[Sighting, int] = {}

    def saw_pins(self, sighting: Sighting, time_ms: int) -> None:
        """Remember that a scope's arm ran with these pins."""
        known = self.sightings.get(sighting)
        if known is None or known < time_ms:
            self.sightings[sighting] = time_ms

    def add(self, other: "Collector") -> None:
        """Take everything that another one has collected."""
        self.samples.rows += other.samples.rows
        self.alerts += other.alerts
        self.known_good += other.known_good
        self.facts += other.facts
        self.changes += other.changes
        self.truncated += other.truncated
        for sighting, time_ms in other.sightings.items():
            self.saw_pins(sighting, time_ms)

    def batch(self) -> Batch:
        """Everything collected, in the order in which it came."""
        return Batch(
            samples=self.samples,
            alerts=self.alerts,
            pins=[
                PinsSeen(scope=seen.scope, arm=seen.arm, pins=seen.pins, time_ms=time_ms)
                for seen, time_ms in self.sightings.items()
            ],
            known_good=self.known_good,
            facts=self.facts,
            changes=self.changes,
        )
