"""A webhook: messages in order, each tried until it is taken, refused or too old.

The queue is in memory and bounded; what is given up is counted and logged. Whatever must survive a
crash belongs into the journal, which the decision events are read from.
"""

import asyncio
import logging
from collections import deque

import msgspec

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError, RollbackdError, TemporaryError
from rollbackd.model.events import KnownGood
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.notifications.channel import Channel
from rollbackd.notifications.delivery import Deliveries, backoff_ms
from rollbackd.notifications.links import Links
from rollbackd.notifications.messages import (
    Message,
    decision_message,
    known_good_message,
    page_message,
)
from rollbackd.notifications.signing import signed_headers
from rollbackd.settings import Occasion, Secret, WebhookSettings, read_secret
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)


class _Waiting(msgspec.Struct, frozen=True):
    """A message and until when it is worth sending, on the monotonic clock."""

    message: Message
    until: float


class WebhookNotifier:
    """Tells one receiver."""

    def __init__(
        self, settings: WebhookSettings, links: Links, *, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._settings = settings
        self._links = links
        self._clock = clock
        self._channel = Channel(settings.receiver)
        self._deliveries = Deliveries(telemetry, f"webhook {settings.name}")
        self._queue: deque[_Waiting] = deque()
        self._news = asyncio.Event()

    async def page(self, incident: Incident, reason: str) -> None:
        """Queue a page."""
        if Occasion.PAGE in self._settings.occasions:
            self._put(page_message(incident, reason, self._links, self._clock.now()))

    def decided(self, incident: Incident, record: JournalRecord) -> None:
        """Queue a decision."""
        if Occasion.DECISION in self._settings.occasions:
            self._put(decision_message(incident, record, self._links))

    def known_good_changed(self, known_good: KnownGood) -> None:
        """Queue that a set was recorded, promoted or retired."""
        if Occasion.KNOWN_GOOD in self._settings.occasions:
            self._put(known_good_message(known_good))

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                while self._queue:
                    await self._deliver(self._queue.popleft())
                    self._deliveries.waiting(len(self._queue))
                self._news.clear()
                await self._news.wait()
        finally:
            await self._channel.close()

    def _put(self, message: Message) -> None:
        if len(self._queue) >= self._settings.queue:
            dropped = self._queue.popleft()
            self._deliveries.dropped()
            self._log(logging.ERROR, "a message was given up: too many wait", dropped.message)
        until = self._clock.monotonic() + self._settings.deadline_ms / 1_000
        self._queue.append(_Waiting(message, until))
        self._deliveries.waiting(len(self._queue))
        self._news.set()

    async def _deliver(self, waiting: _Waiting) -> None:
        """Try until it is taken or given up."""
        failures = 0
        while True:
            if self._clock.monotonic() >= waiting.until:
                self._deliveries.expired()
                self._log(logging.ERROR, "a message was given up: too old", waiting.message)
                return
            try:
                await self._send(waiting.message)
            except TemporaryError as error:
                failures += 1
                self._deliveries.failed()
                level = logging.WARNING if failures == 1 else logging.DEBUG
                self._log(level, "a message was not taken", waiting.message, error)
                left_ms = max(0.0, (waiting.until - self._clock.monotonic()) * 1_000)
                await self._clock.sleep(min(backoff_ms(failures, error.delay_ms), left_ms))
            except PermanentError as error:
                self._deliveries.refused()
                self._log(logging.ERROR, "a message was refused", waiting.message, error)
                return
            else:
                self._deliveries.sent(self._clock.now())
                return

    async def _send(self, message: Message) -> None:
        try:
            url = read_secret(self._settings.url_file) or Secret(self._settings.url)
            key = read_secret(self._settings.signing_key_file)
        except OSError as error:
            raise TemporaryError(f"cannot read `{error.filename}`: {error.strerror}") from None
        headers = signed_headers(message.id, message.body, self._clock.now(), key)
        await self._channel.post(url, message.body, {"Content-Type": "application/json", **headers})

    def _log(
        self, level: int, what: str, message: Message, error: RollbackdError | None = None
    ) -> None:
        extra = {"notifier": self._deliveries.notifier, "message_id": message.id}
        logger.log(level, what, extra={**extra, "because": str(error)} if error else extra)
