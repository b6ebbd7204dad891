"""All notifiers as one: a failure of one reaches neither the incident nor the others."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from rollbackd.clock import Clock
from rollbackd.model.events import KnownGood
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.ports import Notifier

logger = logging.getLogger(__name__)

_PAUSE_MS: Final = 10_000


class Sender(Notifier, Protocol):
    """A notifier that sends in the background."""

    async def run(self) -> None:
        """Send until cancelled."""
        ...


class FanOut:
    """Tells each notifier, and keeps those running that send in the background."""

    def __init__(
        self,
        notifiers: Sequence[Notifier],
        senders: Sequence[Sender],
        clock: Clock,
        *,
        hear_of_known_good: Sequence[Callable[[KnownGood], None]] = (),
    ) -> None:
        self._all: list[Notifier] = [*notifiers, *senders]
        self._senders = senders
        self._hear_of_known_good = hear_of_known_good
        self._clock = clock

    async def page(self, incident: Incident, reason: str) -> None:
        """Ask for a person."""
        for notifier in self._all:
            try:
                await notifier.page(incident, reason)
            except Exception:
                logger.exception("a notifier failed", extra={"notifier": _name(notifier)})

    def decided(self, incident: Incident, record: JournalRecord) -> None:
        """Pass a record on."""
        for notifier in self._all:
            try:
                notifier.decided(incident, record)
            except Exception:
                logger.exception("a notifier failed", extra={"notifier": _name(notifier)})

    def known_good_changed(self, known_good: KnownGood) -> None:
        """Pass on that a set was recorded, promoted or retired."""
        for hears in self._hear_of_known_good:
            try:
                hears(known_good)
            except Exception:
                logger.exception("a notifier failed", extra={"notifier": repr(hears)})

    async def run(self) -> None:
        """Keep every sender running until cancelled."""
        async with asyncio.TaskGroup() as group:
            for sender in self._senders:
                group.create_task(self._keep_running(sender))

    async def _keep_running(self, sender: Sender) -> None:
        """A defect in telling others must not take down what does the work."""
        while True:
            try:
                await sender.run()
            except Exception:
                logger.exception("a notifier died", extra={"notifier": _name(sender)})
            await self._clock.sleep(_PAUSE_MS)


def _name(notifier: Notifier) -> str:
    return type(notifier).__name__
