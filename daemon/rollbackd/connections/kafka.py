"""How Kafka is reached: addresses, TLS and SASL, and the producer of what we write there."""

import os
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

from aiokafka import AIOKafkaProducer

from rollbackd.settings import KafkaSettings, read_secret

_REQUEST_TIMEOUT_MS: Final = 15_000


class Sent(Protocol):
    """Awaited, it returns when the broker has acknowledged."""

    def __await__(self) -> Any: ...


class Producer(Protocol):
    """What we use of aiokafka's producer, which has no types. Every call may raise KafkaError."""

    async def start(self) -> None:
        """Connect."""
        ...

    async def stop(self) -> None:
        """Send what is left, and close."""
        ...

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> Sent:
        """Hand a record over; it is with the broker when what is returned has been awaited."""
        ...


def new_producer(settings: KafkaSettings) -> Producer:
    """A producer that has not started.

    Raises OSError when a secret or certificate is unreadable.
    """
    options = {**client_options(settings), "acks": "all"}
    return cast("Producer", cast("Any", AIOKafkaProducer)(**options))


def client_id(settings: KafkaSettings) -> str:
    """The name of this replica at the broker."""
    return f"{settings.client_id}-{socket.gethostname()}-{os.getpid()}"


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """What every aiokafka client is told. Raises OSError as `new_producer` does.

    Secret files are read at each call, so that a rotated password counts from the next client on.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": list[str](settings.bootstrap_servers),
        "client_id": client_id(settings),
        "security_protocol": settings.security_protocol,
        "request_timeout_ms": _REQUEST_TIMEOUT_MS,
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
