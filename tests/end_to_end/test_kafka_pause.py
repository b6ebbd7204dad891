"""A consumer of a real topic stands still while an incident has it paused, and then goes on."""

import asyncio
import contextlib
import itertools
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.backends import RedisBackend
from tests.end_to_end.daemon import TREE, DaemonProcess, Healthy, rollout
from tests.end_to_end.live_service import EXAMPLES
from tests.end_to_end.test_kafka import bad_canary
from tests.services.kafka import Broker
from tests.services.polling import eventually
from tests.services.processes import ServerProcess
from tests.services.redis import Redis

_PAUSE = """freeze:
      lever: kafka_pause
      params: {groups: [billing]}
      confirm:
        - {probe: acknowledgements, control: consumers, readers: 2}
        - {probe: consumers, group: billing, idle: 500ms}"""

_WRITE_BLOCK = "freeze: {lever: write_block, params: {scope: all, retry_after_seconds: 60}}"


class ConsumerProcess(ServerProcess):
    """`billing_consumer.py` as its page says to run it."""

    name = "billing_consumer"

    def __init__(self, directory: Path, **options: str) -> None:
        super().__init__(directory)
        self.ledger = directory / "ledger"
        self.ledger.touch()
        self._options = {**options, "ledger": str(self.ledger)}

    def command(self) -> Sequence[str | Path]:
        options = itertools.chain(*((f"--{name}", text) for name, text in self._options.items()))
        return [sys.executable, EXAMPLES / "billing_consumer.py", *options]

    async def answers(self) -> bool:
        return True

    def booked(self) -> list[int]:
        return [int(line) for line in self.ledger.read_text().split()]


class Orders:
    """Numbers, one after the other, for as long as the block runs."""

    def __init__(self, kafka: Broker, topic: str) -> None:
        self.sent = 0
        self._producer: Any = AIOKafkaProducer(bootstrap_servers=kafka.address)
        self._topic = topic

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        await self._producer.start()
        task = asyncio.create_task(self._send())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._producer.stop()

    async def _send(self) -> None:
        for number in itertools.count():
            order = str(number).encode()
            await self._producer.send(self._topic, order, partition=number % 4)
            self.sent = number + 1
            await asyncio.sleep(0.01)


def booked(consumers: list[ConsumerProcess]) -> list[int]:
    return [number for consumer in consumers for number in consumer.booked()]


@pytest.mark.services
@pytest.mark.timeout(120)
async def test_consumers_stand_still_for_an_incident_and_lose_and_double_nothing(
    scope: str, tmp_path: Path, kafka: Broker, redis_server: Redis
) -> None:
    """From the confirmation to the end nothing is booked; after it, everything once."""
    topic = f"orders-{uuid.uuid4().hex[:8]}"
    await kafka.create_topic(topic, 4)
    await kafka.create_topic(f"{topic}-events", 1)
    url = RedisBackend(redis_server).url
    config = {
        "store": "redis",
        "controls": "redis",
        "redis": {"url": url},
        "kafka": {
            "bootstrap_servers": [kafka.address],
            "topics": [{"name": f"{topic}-events"}],
            "group_id": f"rollbackd-{topic}",
        },
    }
    orders = Orders(kafka, topic)
    consumers = [
        ConsumerProcess(
            tmp_path / f"consumer-{number}",
            scope=scope,
            redis=url,
            kafka=kafka.address,
            topic=topic,
        )
        for number in range(2)
    ]

    async def more_than(count: int) -> None:
        async def there() -> bool:
            return len(booked(consumers)) > count

        await eventually(there, within_seconds=40)

    async with contextlib.AsyncExitStack() as stack:
        tree = TREE.replace(_WRITE_BLOCK, _PAUSE)
        daemon = DaemonProcess(tmp_path / "daemon", config=config, tree=tree)
        await stack.enter_async_context(daemon)
        await rollout(daemon, scope)
        for consumer in consumers:
            await stack.enter_async_context(consumer)
        async with orders.flowing():
            await more_than(100)
            async with Healthy(daemon, scope, error_ratio=1.0) as exit_target:
                await daemon.events(*bad_canary("duplicate_effects", scope))
                await daemon.until_incident(scope, "watching", within_seconds=40)
                stood, sent = booked(consumers), orders.sent

                async def a_hundred_more_are_sent() -> bool:
                    return orders.sent > sent + 100

                await eventually(a_hundred_more_are_sent, within_seconds=40)
                assert booked(consumers) == stood
                exit_target.error_ratio = 0.0
                await daemon.until_incident(scope, "closed", within_seconds=60)
            await more_than(len(stood) + 100)
        await more_than(orders.sent - 1)
        assert sorted(booked(consumers)) == list(range(orders.sent))
        assert daemon.unhandled() == []
