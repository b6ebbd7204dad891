"""Keeps a Kafka session alive for as long as the daemon lives."""

import asyncio
import logging
import random
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from rollbackd.clock import Clock
from rollbackd.events.decoders import missing_for
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.ports import Sink
from rollbackd.settings import FormatSettings, KafkaSettings
from rollbackd.sources.kafka.dead_letters import DeadLetterTopic
from rollbackd.sources.kafka.partition import Outlets
from rollbackd.sources.kafka.session import Session
from rollbackd.sources.kafka.start import Progress
from rollbackd.sources.kafka.watchdog import StalledError
from rollbackd.telemetry import Telemetry

_log = logging.getLogger(__name__)

_FIRST_DELAY_SECONDS: Final = 0.25
_LONGEST_DELAY_SECONDS: Final = 10.0
#: A session that lived so long was sound: the next delay is the first one again.
_SOUND_SECONDS: Final = 60.0
_LEAVE_SECONDS: Final = 3.0
#: Half a second of a busy stream; a quiet one comes here only after an outage.
_FAR_BEHIND: Final = 10_000


class RebuildCause(StrEnum):
    """Why a consumer was thrown away."""

    #: No broker could be reached.
    CONNECT = "connect"
    #: aiokafka reported an error that it does not mend by itself.
    KAFKA_ERROR = "kafka_error"
    #: The watchdog saw no progress.
    STALLED = "stalled"
    #: Anything else: a defect, here or in the sink.
    UNEXPECTED = "unexpected"


class KafkaSource:
    """A member of the consumer group; a `ports.Source`.

    `refill_ms` is the longest window of the rules: on assignment each partition is read again from
    so long ago, as source `kafka-refill`, before it goes on as `kafka`. Offsets are committed after
    the sink has taken the records. While the sink is full the same batch is offered again and
    nothing is skipped.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        sink: Sink,
        telemetry: Telemetry,
        clock: Clock,
        *,
        refill_ms: int = 0,
        mappings: Mapping[str, FieldMapping] = MappingProxyType({}),
        formats: FormatSettings | None = None,
    ) -> None:
        """Raises ValueError when a topic's format needs a package that is not installed."""
        for topic in settings.topics:
            if missing := missing_for(topic.format):
                raise ValueError(f"topic `{topic.name}`: {missing}")
        self._settings = settings
        self._refill_ms = refill_ms
        self._dead_letters = DeadLetterTopic(settings, clock)
        self._outlets = Outlets(
            sink=sink,
            dead_letters=self._dead_letters,
            telemetry=telemetry,
            clock=clock,
            mappings=mappings,
            formats=formats,
        )
        self._progress: dict[TopicPartition, Progress] = {}
        self._session: Session | None = None
        self._leaving: set[asyncio.Task[object]] = set()
        # when it is asked for: what was noted at the last look may be a second old
        telemetry.kafka_up.set_function(self.healthy)

    def healthy(self) -> bool:
        """Whether a broker has answered lately."""
        session = self._session
        return session is not None and session.connected and session.watchdog.in_contact

    def caught_up(self) -> bool:
        """Whether every partition that this member was given has been refilled."""
        return self._session is not None and self._session.caught_up

    def behind(self) -> bool:
        """Whether so many records wait at the broker that this member is catching up."""
        return self._session is not None and self._session.backlog > _FAR_BEHIND

    async def run(self) -> None:
        """Consume until cancelled; a consumer that fails is replaced."""
        delay = _FIRST_DELAY_SECONDS
        try:
            while True:
                began = self._outlets.clock.monotonic()
                cause = await self._run_session()
                self._outlets.telemetry.kafka_rebuilds.labels(cause.value).inc()
                if self._outlets.clock.monotonic() - began > _SOUND_SECONDS:
                    delay = _FIRST_DELAY_SECONDS
                await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311  # jitter
                delay = min(delay * 2, _LONGEST_DELAY_SECONDS)
        finally:
            await self._dead_letters.close()
            await self._abandon()

    async def _run_session(self) -> RebuildCause:
        session = Session(self._settings, self._outlets, self._progress, refill_ms=self._refill_ms)
        self._session = session
        try:
            await session.run()
        except asyncio.CancelledError:
            # aiokafka lets some of its own escape; only one that is meant for us ends us.
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            cause, why = RebuildCause.UNEXPECTED, "cancelled by nobody"
        except StalledError as error:
            cause, why = RebuildCause.STALLED, str(error)
        except (KafkaError, OSError) as error:
            cause = RebuildCause.KAFKA_ERROR if session.connected else RebuildCause.CONNECT
            why = f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001  # the daemon must not go blind
            _log.exception("the Kafka session failed unexpectedly")
            cause, why = RebuildCause.UNEXPECTED, f"{type(error).__name__}: {error}"
        else:
            raise AssertionError("a session ends only by an error")
        finally:
            self._session = None
            self._leaving |= session.leaving
        _log.warning("the Kafka consumer is built anew", extra={"cause": cause.value, "why": why})
        return cause

    async def _abandon(self) -> None:
        """Consumers that still wait for a broker get a last moment."""
        leaving = {task for task in self._leaving if not task.done()}
        if leaving:
            await asyncio.wait(leaving, timeout=_LEAVE_SECONDS)
            for task in leaving:
                task.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)
