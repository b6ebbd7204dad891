"""What aiokafka's consumers are told: the timeouts that the source relies on."""

from collections.abc import Sequence
from typing import Final

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from rollbackd.connections.kafka import client_options
from rollbackd.settings import KafkaSettings
from rollbackd.sources.kafka import driver

#: aiokafka stops a member that polls less often; the session polls several times a second.
MAX_POLL_INTERVAL_MS: Final = 60_000
#: A batch is decoded and taken without a pause: this many take some ten milliseconds.
MAX_POLL_RECORDS: Final = 2_000


def new_consumer(settings: KafkaSettings) -> driver.Consumer:
    """A consumer that has not started. Raises OSError when a secret or certificate is unreadable.

    Static membership is never used: aiokafka does not fence it (two members could act as one).
    """
    return driver.consumer(
        **client_options(settings),
        group_id=settings.group_id,
        enable_auto_commit=False,
        # Only for offsets that expired while we read: what is left is read rather than skipped.
        # Where to start is decided in `start.py`.
        auto_offset_reset="earliest",
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=min(3_000, settings.session_timeout_ms // 3),
        rebalance_timeout_ms=settings.session_timeout_ms,
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        max_poll_records=MAX_POLL_RECORDS,
        isolation_level="read_committed",
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
    )


def new_reader(settings: KafkaSettings) -> driver.Consumer:
    """A consumer without a group: it gets every partition, and leaves no trace.

    Raises OSError as `new_consumer` does.
    """
    return driver.consumer(
        **client_options(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=MAX_POLL_RECORDS,
        isolation_level="read_committed",
    )


def topic_names(settings: KafkaSettings) -> Sequence[str]:
    """The topics to read, each once."""
    return list(dict.fromkeys(topic.name for topic in settings.topics))
