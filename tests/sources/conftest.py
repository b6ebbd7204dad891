"""A topic and a group of its own for each test, a sink that remembers, and members that end."""

import asyncio
import contextlib
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from rollbackd.clock import SystemClock
from rollbackd.errors import TemporaryError
from rollbackd.model.events import Batch
from rollbackd.settings import KafkaSettings, KafkaTopic
from rollbackd.sources.kafka import KafkaSource
from rollbackd.telemetry import Telemetry
from tests.services.kafka import Broker, Tansu
from tests.services.polling import eventually

NOW = 1_790_000_000


class RecordingSink:
    """Keeps what it is given; `full` makes it refuse, `gate` makes it wait."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, Batch]] = []
        self.buried: list[tuple[str, bytes, str]] = []
        #: What is in the windows: the numbers of each origin, without what was forgotten.
        self.origins: dict[str, list[int]] = {}
        self.forgotten: list[str] = []
        self.refusals = 0
        self.full = False
        self.failure: Callable[[Batch], Exception | None] = lambda _: None
        self.gate = asyncio.Event()
        self.gate.set()

    async def ingest(self, batch: Batch, *, source: str, origin: str = "") -> None:
        await self.gate.wait()
        if self.full:
            self.refusals += 1
            raise TemporaryError("the sink is full", delay_ms=20)
        if (failure := self.failure(batch)) is not None:
            raise failure
        self.batches.append((source, batch))
        self.origins.setdefault(origin, []).extend(int(s.value) for s in batch.samples)

    async def forget(self, origin: str) -> None:
        self.forgotten.append(origin)
        self.origins.pop(origin, None)

    async def bury(self, source: str, body: bytes, reason: str) -> None:
        if self.full:
            raise TemporaryError("the sink is full", delay_ms=20)
        self.buried.append((source, body, reason))

    def numbers(self, source: str = "kafka") -> list[int]:
        """The values of the samples `n` of one source, in the order in which they came."""
        return [
            int(sample.value)
            for came_from, batch in self.batches
            if came_from == source
            for sample in batch.samples
        ]


@dataclass
class Member:
    """A running KafkaSource."""

    source: KafkaSource
    sink: RecordingSink
    telemetry: Telemetry
    task: asyncio.Task[None]

    def metric(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"rollbackd_{name}", labels) or 0.0

    async def stop(self) -> None:
        """End as the daemon does."""
        self.task.cancel()
        await asyncio.wait({self.task}, timeout=20)
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@dataclass
class Bench:
    """One topic on one broker, and the members of one group that read it."""

    broker: Broker
    topic: str
    group: str
    members: list[Member] = field(default_factory=list)
    producer: AIOKafkaProducer | None = None

    def settings(self, **changes: Any) -> KafkaSettings:
        options: dict[str, Any] = {
            "bootstrap_servers": [self.broker.address],
            "topics": [KafkaTopic(name=self.topic)],
            "group_id": self.group,
            "session_timeout_ms": 6_000,
            "stall_ms": 15_000,
        }
        return KafkaSettings(**{**options, **changes})

    def member(
        self, sink: RecordingSink | None = None, *, refill_ms: int = 0, **changes: Any
    ) -> Member:
        """Start one more member of the group."""
        sink = sink or RecordingSink()
        telemetry = Telemetry(CollectorRegistry())
        source = KafkaSource(
            self.settings(**changes), sink, telemetry, SystemClock(), refill_ms=refill_ms
        )
        task = asyncio.create_task(source.run(), name="member")
        self.members.append(Member(source, sink, telemetry, task))
        return self.members[-1]

    async def produce(self, values: Iterable[bytes | None], *, partition: int = 0) -> None:
        if self.producer is None:
            self.producer = AIOKafkaProducer(bootstrap_servers=self.broker.address)
            await self.producer.start()
        sent = [
            await self.producer.send(self.topic, value, key=b"k", partition=partition)
            for value in values
        ]
        await asyncio.gather(*sent)

    async def produce_numbers(self, numbers: Iterable[int], *, partition: int = 0) -> None:
        await self.produce(map(event, numbers), partition=partition)

    async def committed(self, partition: int = 0) -> int | None:
        """What the broker has for the group."""
        # assigned by hand: it does not join the group
        onlooker = AIOKafkaConsumer(
            bootstrap_servers=self.broker.address, group_id=self.group, enable_auto_commit=False
        )
        await onlooker.start()
        try:
            onlooker.assign([tp := TopicPartition(self.topic, partition)])
            committed: int | None = await onlooker.committed(tp)
            return committed
        finally:
            await onlooker.stop()

    async def committed_at(self, offset: int, partition: int = 0) -> bool:
        """Whether the group has committed exactly so far."""
        return await self.committed(partition) == offset

    async def end(self, partition: int = 0) -> int:
        """The offset of the next record of the topic."""
        (end,) = await self.ends([partition])
        return end

    async def ends(self, partitions: Iterable[int]) -> list[int]:
        """The same of several partitions, asked at once."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.broker.address)
        await consumer.start()
        try:
            tps = [TopicPartition(self.topic, partition) for partition in partitions]
            found = await consumer.end_offsets(tps)
            return [int(found[tp]) for tp in tps]
        finally:
            await consumer.stop()

    async def read_topic(self, topic: str, count: int) -> list[Any]:
        """The first `count` records of a topic."""
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=self.broker.address, auto_offset_reset="earliest"
        )
        await consumer.start()
        records: list[Any] = []
        try:
            async with asyncio.timeout(15):
                while len(records) < count:
                    for batch in (await consumer.getmany(timeout_ms=100)).values():
                        records += batch
        finally:
            await consumer.stop()
        return records

    async def close(self) -> None:
        await asyncio.gather(*(member.stop() for member in self.members))
        if self.producer is not None:
            await self.producer.stop()


def event(number: int, **fields: object) -> bytes:
    """A native event that carries a number."""
    body = {"event": "test", "ts": NOW, "service": "rag", "values": {"n": number}, **fields}
    return json.dumps(body).encode()


async def until(
    probe: Callable[[], object] | Callable[[], Awaitable[object]], *, within: float = 20.0
) -> None:
    """Wait until the probe says yes."""

    async def ask() -> object:
        answer = probe()
        return await answer if isinstance(answer, Awaitable) else answer

    await eventually(ask, within_seconds=within)


def all_numbers(members: Sequence[Member]) -> list[int]:
    """What all members have had live."""
    return list(itertools.chain.from_iterable(m.sink.numbers() for m in members))


@pytest.fixture
async def bench(kafka: Broker) -> AsyncIterator[Bench]:
    """A topic of one partition."""
    async for made in _bench(kafka, partitions=1):
        yield made


@pytest.fixture
async def exact_bench(bench: Bench) -> Bench:
    """A topic of one partition on a broker that knows its offsets and makes no topics by itself."""
    if isinstance(bench.broker, Tansu):
        pytest.skip("tansu takes the end of its last batch for the end of the log")
    return bench


@pytest.fixture
async def wide_bench(kafka: Broker) -> AsyncIterator[Bench]:
    """A topic of four partitions."""
    async for made in _bench(kafka, partitions=4):
        yield made


async def _bench(broker: Broker, *, partitions: int) -> AsyncIterator[Bench]:
    name = uuid.uuid4().hex[:12]
    bench = Bench(broker, topic=f"events-{name}", group=f"group-{name}")
    await broker.create_topic(bench.topic, partitions)
    try:
        yield bench
    finally:
        await bench.close()
