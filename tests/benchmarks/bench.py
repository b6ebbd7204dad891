"""What the rows share: servers that start when first asked for, and processes of their own."""

import asyncio
import contextlib
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar
from zlib import crc32

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.benchmarks.workload import events
from tests.services.kafka import Broker, kafka_broker
from tests.services.processes import ServerProcess
from tests.services.redis import Redis

T = TypeVar("T")

#: Records of the topic that is drained.
RECORDS = 400_000
PARTITIONS = 4


class Bench:
    """One run of the benchmarks."""

    def __init__(self, directory: Path, *, runs: int) -> None:
        self.directory = directory
        self.runs = runs
        self._servers = contextlib.AsyncExitStack()
        self._kafka: Broker | None = None
        self._redis: Redis | None = None
        self._drained: tuple[str, int] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._servers.aclose()

    async def kafka(self) -> Broker:
        if self._kafka is None:
            self._kafka = await self._started(kafka_broker(self.directory / "kafka"))
        return self._kafka

    async def redis(self) -> Redis:
        if self._redis is None:
            self._redis = await self._started(Redis(self.directory / "redis"))
        return self._redis

    async def create_topic(self, name: str) -> None:
        """A topic whose records carry the time at which they were appended."""
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=(await self.kafka()).address)
        await admin.start()
        try:
            config = {"message.timestamp.type": "LogAppendTime"}
            await admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=config)])
        finally:
            await admin.close()
        await asyncio.sleep(0.5)

    async def drained_topic(self) -> tuple[str, int]:
        """(name, time of its first event) of a topic with RECORDS events; made once."""
        if self._drained is None:
            start_ms = time.time_ns() // 1_000_000 - 60_000
            await self.fill_topic("drained", events(RECORDS, start_ms=start_ms))
            self._drained = ("drained", start_ms)
        return self._drained

    async def fill_topic(self, name: str, keyed: Iterable[tuple[str, bytes]]) -> int:
        """Make a topic of these (key, value); how many there were."""
        await self.create_topic(name)
        return await _fill((await self.kafka()).address, name, keyed)

    def scratch(self, name: str) -> Path:
        """A new directory."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory))

    async def _started(self, server: ServerProcess) -> Any:
        return await self._servers.enter_async_context(server)


async def isolated(function: Callable[..., T], *args: object) -> T:
    """Call a function of a module in a fresh process: no heap or cache of another run is there."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *args)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """The body of an isolated function."""
    logging.getLogger("rollbackd").setLevel(logging.ERROR)
    try:
        return asyncio.run(work)
    except Exception as error:  # noqa: BLE001  # not every exception can be sent to the parent
        raise RuntimeError(f"{type(error).__name__}: {error}") from None


async def send_batches(producer: Any, topic: str, by_partition: dict[int, list[bytes]]) -> None:
    """Send values in batches of our own making, which costs a third of sending one by one."""
    for partition, values in by_partition.items():
        batch = producer.create_batch()
        for value in values:
            if batch.append(key=None, value=value, timestamp=None) is None:
                batch.close()
                await producer.send_batch(batch, topic, partition=partition)
                batch = producer.create_batch()
                batch.append(key=None, value=value, timestamp=None)
        batch.close()
        await producer.send_batch(batch, topic, partition=partition)


async def _fill(address: str, topic: str, keyed: Iterable[tuple[str, bytes]]) -> int:
    producer: Any = AIOKafkaProducer(bootstrap_servers=address, max_batch_size=256 << 10)
    await producer.start()
    number = 0
    try:
        waiting: dict[int, list[bytes]] = {}
        for number, (key, value) in enumerate(keyed, start=1):
            waiting.setdefault(crc32(key.encode()) % PARTITIONS, []).append(value)
            if number % 2_000 == 0:
                await send_batches(producer, topic, waiting)
                waiting = {}
        await send_batches(producer, topic, waiting)
        await producer.flush()
    finally:
        await producer.stop()
    return number
