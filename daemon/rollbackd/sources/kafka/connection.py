"""What aiokafka is told: addresses, TLS, SASL and the timeouts that the source relies on."""

import os
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from rollbackd.settings import KafkaSettings, read_secret
from rollbackd.sources.kafka import driver

REQUEST_TIMEOUT_MS: Final = 15_000
#: aiokafka stops a member that polls less often; the session polls several times a second.
MAX_POLL_INTERVAL_MS: Final = 60_000
MAX_POLL_RECORDS: Final = 500


def new_consumer(settings: KafkaSettings) -> driver.Consumer:
    """A consumer that has not started. Raises OSError when a secret or certificate is unreadable.

    Static membership is never used: aiokafka does not fence it (two members could act as one).
    """
    return driver.consumer(
        **_common(settings),
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
        **_common(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=MAX_POLL_RECORDS,
        isolation_level="read_committed",
    )


def new_producer(settings: KafkaSettings) -> driver.Producer:
    """A producer that has not started. Raises OSError as `new_consumer` does."""
    return driver.producer(**_common(settings), acks="all")


def client_id(settings: KafkaSettings) -> str:
    """The name of this replica at the broker."""
    return f"{settings.client_id}-{socket.gethostname()}-{os.getpid()}"


def _common(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": list[str](settings.bootstrap_servers),
        "client_id": client_id(settings),
        "security_protocol": settings.security_protocol,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "metadata_max_age_ms": 60_000,
    }
    if settings.security_protocol in {"SSL", "SASL_SSL"}:
        options["ssl_context"] = ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        password = read_secret(settings.password_file)
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.username,
            "sasl_plain_password": password.reveal() if password else None,
        }
    return options


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer, host names checked, with our certificate when there is one."""
    context = ssl.create_default_context(cafile=settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file is not None:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


def topic_names(settings: KafkaSettings) -> Sequence[str]:
    """The topics to read, each once."""
    return list(dict.fromkeys(topic.name for topic in settings.topics))
