"""An event on Kafka for every decision, at least once and in order within an incident.

The journal is the outbox: what is queued is only which incidents have news, and their records are
read from the store. So nothing is lost with the process, and nothing is dropped while Kafka is
down, short of 10,000 incidents that wait. A record is sent when the broker has acknowledged the
one before it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from rollbackd.clock import Clock
from rollbackd.connections.kafka import Producer
from rollbackd.errors import RollbackdError
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.notifications.cloudevents import KafkaMessage, kafka_message
from rollbackd.notifications.cursor import Cursor
from rollbackd.notifications.delivery import Deliveries, backoff_ms
from rollbackd.notifications.links import Links
from rollbackd.ports import Store
from rollbackd.settings import CloudEventsSettings
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

#: News is gathered for so long, so that a journal is not read once a record.
_LINGER_MS: Final = 200
_SEND_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 3.0
_MAX_BEHIND: Final = 10_000
#: Without a file, incidents that ended so long ago are taken to be published.
_LOOKBACK_MS: Final = 3_600_000
#: Clocks of replicas differ, and a store may commit late.
_MARGIN_MS: Final = 60_000
_RECENT: Final = 1_000


class DecisionPublisher:
    """Publishes journals; `connect` makes a producer that has not started."""

    def __init__(
        self,
        settings: CloudEventsSettings,
        links: Links,
        *,
        connect: Callable[[], Producer],
        store: Store,
        cursor: Cursor,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._links = links
        self._connect = connect
        self._store = store
        self._cursor = cursor
        self._clock = clock
        self._deliveries = Deliveries(telemetry, f"kafka {settings.topic}")
        self._behind: dict[str, None] = {}
        self._overlooked = True
        self._producer: Producer | None = None
        self._news = asyncio.Event()

    async def page(self, incident: Incident, reason: str) -> None:
        """Nothing: what led to the page is in the journal."""

    def decided(self, incident: Incident, record: JournalRecord) -> None:  # noqa: ARG002  # the port's
        """The incident has a record to publish."""
        if len(self._behind) >= _MAX_BEHIND and incident.id not in self._behind:
            # Not lost yet: the store is searched for it, as after a restart.
            self._overlooked = True
            self._news.set()
            self._deliveries.dropped()
            logger.error("too many incidents wait", extra={"notifier": self._deliveries.notifier})
            return
        self._behind[incident.id] = None
        self._deliveries.waiting(len(self._behind))
        self._news.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        failures = 0
        await self._cursor.load()
        try:
            while True:
                try:
                    await self._publish_all()
                except (KafkaError, OSError, RollbackdError) as error:
                    failures += 1
                    await self._failed(error, first=failures == 1)
                    await self._clock.sleep(backoff_ms(failures))
                else:
                    failures = 0
                    await self._news.wait()
                    await self._clock.sleep(_LINGER_MS)
                    self._news.clear()
        finally:
            await self._discard()

    async def _publish_all(self) -> None:
        """Everything that is behind. Raises KafkaError, OSError, RollbackdError."""
        if self._overlooked:
            await self._find()
        try:
            for incident_id in list(self._behind):
                await self._publish(incident_id)
        finally:
            self._deliveries.waiting(len(self._behind))
            if not self._overlooked:
                await self._cursor.save(self._behind, self._clock.now())

    async def _find(self) -> None:
        """Look for incidents whose records an earlier process, or a full queue, left behind."""
        as_of_ms = self._cursor.as_of_ms
        lookback_ms = _MARGIN_MS if as_of_ms is not None else _LOOKBACK_MS
        since_ms = (self._clock.now() if as_of_ms is None else as_of_ms) - lookback_ms
        recent = await self._store.incidents(limit=_RECENT)
        still_open = await self._store.incidents(open_only=True, limit=_MAX_BEHIND)
        for incident in [*still_open, *recent]:
            ended_ms = incident.closed_at_ms or incident.entered_at_ms
            open_lately = incident.is_open or ended_ms >= since_ms
            out = self._cursor.published(incident.id) >= incident.version
            if not out and (open_lately or self._cursor.unfinished(incident.id)):
                self._behind[incident.id] = None
        self._overlooked = False

    async def _publish(self, incident_id: str) -> None:
        """The records of one incident that are not out yet, in order."""
        del self._behind[incident_id]
        try:
            incident = await self._store.incident(incident_id)
            journal = await self._store.journal(incident_id)
            if incident is None:
                return
            for record in journal:
                if record.sequence > self._cursor.published(incident_id):
                    await self._send(incident, record)
                    self._cursor.advance(incident_id, record.sequence)
        except BaseException:
            self._behind[incident_id] = None
            raise

    async def _send(self, incident: Incident, record: JournalRecord) -> None:
        message = kafka_message(incident, record, self._links, self._settings.mode)
        try:
            await self._acknowledged(message)
        except MessageSizeTooLargeError:
            logger.warning(
                "a decision is too large for Kafka; its detail is left out",
                extra={"incident": incident.id, "sequence": record.sequence},
            )
            await self._acknowledged(
                kafka_message(incident, record, self._links, self._settings.mode, with_detail=False)
            )
        self._deliveries.sent(self._clock.now())

    async def _acknowledged(self, message: KafkaMessage) -> None:
        """Return when the broker has it. Raises KafkaError, OSError (a timeout is one)."""
        async with asyncio.timeout(_SEND_SECONDS):
            if self._producer is None:
                producer = self._producer = self._connect()
                await producer.start()
            sent = await self._producer.send(
                self._settings.topic, message.value, key=message.key, headers=message.headers
            )
            await sent

    async def _failed(self, error: Exception, *, first: bool) -> None:
        self._deliveries.failed()
        logger.log(
            logging.ERROR if first else logging.DEBUG,
            "decisions are not published",
            extra={"notifier": self._deliveries.notifier, "because": _described(error)},
        )
        # aiokafka's producer can die for good (aiokafka#1133): a new one is made each time.
        await self._discard()

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, OSError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await producer.stop()


def _described(error: Exception) -> str:
    return str(error) or type(error).__name__
