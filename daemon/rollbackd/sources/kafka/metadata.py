"""Asks again for topics that the brokers do not know at the moment."""

from collections.abc import Sequence
from typing import Final

from rollbackd.clock import Clock
from rollbackd.sources.kafka import driver
from rollbackd.sources.kafka.driver import Consumer

_FIRST_DELAY_SECONDS: Final = 1.0
_LONGEST_DELAY_SECONDS: Final = 30.0


class TopicMetadata:
    """Which of our topics the cluster shows.

    Brokers that come back after a pause name neither brokers nor topics for a moment (in KRaft they
    are fenced until the controller has heard from them). A consumer that leads its group then gives
    nobody anything, and would ask again only when its metadata is a minute old.
    """

    def __init__(self, consumer: Consumer, topics: Sequence[str], clock: Clock) -> None:
        self._consumer = consumer
        self._topics = topics
        self._clock = clock
        self._delay = _FIRST_DELAY_SECONDS
        self._next = clock.monotonic()

    def shows(self, topic: str) -> bool:
        """Whether it has partitions, as far as this consumer has been told."""
        return bool(self._consumer.partitions_for_topic(topic))

    def look(self) -> None:
        """Ask for what is not shown, less and less often: some topics are never made."""
        now = self._clock.monotonic()
        if all(map(self.shows, self._topics)):
            self._delay, self._next = _FIRST_DELAY_SECONDS, now
        elif now >= self._next:
            # once it is shown, the leader of the group assigns anew
            driver.refresh_metadata(self._consumer)
            self._next = now + self._delay
            self._delay = min(self._delay * 2, _LONGEST_DELAY_SECONDS)
