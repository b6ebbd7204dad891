"""What all deliveries share: their metrics, and the pause after a failure."""

import asyncio
from typing import Final

from rollbackd.clock import Clock
from rollbackd.telemetry import Telemetry

_FIRST_MS: Final = 500
_LONGEST_MS: Final = 30_000


class Deliveries:
    """Counts the deliveries of one notifier."""

    def __init__(self, telemetry: Telemetry, notifier: str) -> None:
        self.notifier = notifier
        self._count = telemetry.notifications
        self._waiting = telemetry.notifications_waiting.labels(notifier)
        self._success = telemetry.notifications_success.labels(notifier)
        for result in ("sent", "failed", "refused", "dropped", "expired"):
            self._count.labels(notifier, result)

    def sent(self, now_ms: int) -> None:
        """It was taken."""
        self._count.labels(self.notifier, "sent").inc()
        self._success.set(now_ms / 1_000)

    def failed(self) -> None:
        """An attempt failed; there will be another."""
        self._count.labels(self.notifier, "failed").inc()

    def refused(self) -> None:
        """It was refused for good."""
        self._count.labels(self.notifier, "refused").inc()

    def dropped(self) -> None:
        """It was given up unsent, for want of room."""
        self._count.labels(self.notifier, "dropped").inc()

    def expired(self) -> None:
        """It was given up after its deadline."""
        self._count.labels(self.notifier, "expired").inc()

    def waiting(self, number: int) -> None:
        """So much has not been told yet."""
        self._waiting.set(number)


def backoff_ms(failures: int, asked_ms: int = 0) -> int:
    """How long to wait after so many failures in a row, or as long as the receiver asked."""
    return min(_LONGEST_MS, max(asked_ms, _FIRST_MS << min(failures - 1, 10)))


async def woken(event: asyncio.Event, clock: Clock, milliseconds: float) -> None:
    """Return when the event is set, at the latest after so long; the event is then cleared."""
    waiting = asyncio.ensure_future(event.wait())
    pause = asyncio.ensure_future(clock.sleep(milliseconds))
    try:
        await asyncio.wait({waiting, pause}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        pause.cancel()
        await asyncio.gather(waiting, pause, return_exceptions=True)
    event.clear()
