"""Where `rollbackd generate` sends events: a file in real time, Kafka, or a daemon over HTTP."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import typer
from msgspec.structs import replace

from rollbackd.app.generating.schedule import Timed
from rollbackd.app.generating.sending import Outgoing, Outlet, send_all
from rollbackd.cli.client import Api, Connection, RefusedError
from rollbackd.cli.failures import FailureError
from rollbackd.clock import SystemClock
from rollbackd.settings import KafkaSettings, load_settings

if TYPE_CHECKING:
    from rollbackd.connections.kafka import Producer

_TRIES: Final = 10
_PIPE_CLOSED: Final = 128 + signal.SIGPIPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where events go, as it was asked for; exactly one of the three."""

    out: Path | None
    kafka: str
    topic: str
    config: Path | None
    url: str
    token_file: Path | None
    ca_file: Path | None


async def deliver(events: Iterator[Timed], to: Destination, *, in_real_time: bool) -> int:
    """Send everything; returns how many events. Raises FailureError, Exit when nobody reads on."""
    async with _opened(to) as outlet:
        try:
            return await send_all(events, outlet, clock=SystemClock(), in_real_time=in_real_time)
        except BrokenPipeError:
            # `| head` has what it wanted: no news, and what a shell reports for SIGPIPE
            raise typer.Exit(_PIPE_CLOSED) from None


class _Lines:
    """A file, flushed with each batch so that somebody can follow it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    async def send(self, batch: Sequence[Outgoing]) -> None:
        """See Outlet."""
        self._file.writelines(event.value + b"\n" for event in batch)
        self._file.flush()


class _Topic:
    """A Kafka topic; a batch is sent when the broker has acknowledged all of it."""

    def __init__(self, producer: "Producer", topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def send(self, batch: Sequence[Outgoing]) -> None:
        """See Outlet."""
        sent = [
            await self._producer.send(self._topic, event.value, key=event.key, headers=())
            for event in batch
        ]
        for each in sent:
            await each


class _Daemon:
    """The daemon's own API."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def send(self, batch: Sequence[Outgoing]) -> None:
        """See Outlet."""
        lines = b"\n".join(event.value for event in batch)
        for tries_left in range(_TRIES - 1, -1, -1):
            try:
                await self._api.send_lines("/api/v1/events", lines)
            except RefusedError as refused:
                # 503 is "not now": the daemon has not taken any of it.
                if refused.status != 503 or not tries_left:
                    raise
                await asyncio.sleep(1.0)
            else:
                return


@asynccontextmanager
async def _opened(to: Destination) -> AsyncIterator[Outlet]:
    if to.kafka:
        async with _kafka(to) as outlet:
            yield outlet
    elif to.url:
        connection = Connection(url=to.url, token_file=to.token_file, ca_file=to.ca_file)
        async with Api(connection) as api:
            yield _Daemon(api)
    elif to.out is None or str(to.out) == "-":
        yield _Lines(sys.stdout.buffer)
    else:
        try:
            with to.out.open("wb") as file:
                yield _Lines(file)
        except OSError as error:
            raise FailureError(f"cannot write `{to.out}`: {error.strerror}") from None


@asynccontextmanager
async def _kafka(to: Destination) -> AsyncIterator[Outlet]:
    # Here, because a file needs no client of Kafka.
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    from rollbackd.connections.kafka import new_producer  # noqa: PLC0415

    servers = [server.strip() for server in to.kafka.split(",") if server.strip()]
    known = load_settings(to.config).kafka if to.config else None
    settings = known or KafkaSettings(bootstrap_servers=servers, topics=[])
    try:
        producer = new_producer(replace(settings, bootstrap_servers=servers))
        try:
            await producer.start()
            yield _Topic(producer, to.topic)
        finally:
            await producer.stop()
    except (KafkaError, OSError) as error:
        raise FailureError(
            f"cannot write to topic `{to.topic}` at {to.kafka}: {error}",
            fix="check --kafka and --topic, and --config for TLS and SASL",
        ) from None
