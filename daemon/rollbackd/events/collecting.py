"""Many decoded items put together into one batch."""

from collections import Counter
from dataclasses import dataclass

from rollbackd.model.events import Alert, Batch, KnownGood, PinsSeen, Rows
from rollbackd.model.facts import AnswerServed, AnyFact, ChangeEvent
from rollbackd.model.labels import Scope
from rollbackd.model.pins import Pins


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """Who ran with which pins. The reader makes one object of what it reads alike."""

    scope: Scope
    arm: str
    pins: Pins
    #: Whether it was an answer, to nobody in particular.
    answers: bool = False
    #: Whether it was one part of the arm, which knows no other pins.
    partial: bool = False


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
        #: Samples and events that were left out of what was taken, by reason.
        self.refused = Counter[str]()
        #: Names of events that a later delivery of the same one would have.
        self.ids: list[tuple[str, str]] = []

    def saw_pins(self, sighting: Sighting, time_ms: int) -> None:
        """Remember that a scope's arm ran with these pins."""
        known = self.sightings.get(sighting)
        if known is None or known < time_ms:
            self.sightings[sighting] = time_ms

    def took(self, said: AnyFact | ChangeEvent) -> None:
        """Remember one fact or change."""
        if isinstance(said, ChangeEvent):
            self.changes.append(said)
        else:
            self.facts.append(said)

    def add(self, other: "Collector") -> None:
        """Take everything that another one has collected."""
        self.samples.rows += other.samples.rows
        self.alerts += other.alerts
        self.known_good += other.known_good
        self.facts += other.facts
        self.changes += other.changes
        self.truncated += other.truncated
        self.refused += other.refused
        self.ids += other.ids
        for sighting, time_ms in other.sightings.items():
            self.saw_pins(sighting, time_ms)

    def batch(self) -> Batch:
        """Everything collected, in the order in which it came.

        Answers that name no user but have pins are one fact for all alike, at the latest time.
        """
        answers = [
            AnswerServed(scope=seen.scope, time_ms=time_ms, arm=seen.arm, pins=seen.pins)
            for seen, time_ms in self.sightings.items()
            if seen.answers
        ]
        return Batch(
            samples=self.samples,
            alerts=self.alerts,
            pins=[
                PinsSeen(
                    scope=seen.scope,
                    arm=seen.arm,
                    pins=seen.pins,
                    time_ms=time_ms,
                    partial=seen.partial,
                )
                for seen, time_ms in self.sightings.items()
            ],
            known_good=self.known_good,
            facts=[*self.facts, *answers] if answers else self.facts,
            changes=self.changes,
        )
