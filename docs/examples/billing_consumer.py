"""A Kafka consumer that stands still while its scope is frozen: see docs/guard.md.

python billing_consumer.py --scope orders/eu-1 --redis redis://127.0.0.1:6379/0 \
    --kafka 127.0.0.1:9092 --topic orders --ledger /var/lib/billing/ledger
"""

import argparse
import asyncio
import signal
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from rollbackd.guard import AsyncGuard, RedisAddress, Turn

GROUP = "billing"


class Billing:
    """Books each order once it is sure that nobody has paused the group."""

    def __init__(self, consumer: AIOKafkaConsumer, guard: AsyncGuard, ledger: Path) -> None:
        self._consumer = consumer
        self._guard = guard
        self._ledger = ledger

    async def run(self) -> None:
        """One round after the other, until it is cancelled."""
        while True:
            # a pause is acknowledged once the rounds that began before it have ended
            with self._guard.consuming(GROUP) as turn:
                if turn:
                    await self._consume(turn)
            if not turn:
                await self._stand_still()

    async def _consume(self, turn: Turn) -> None:
        self._consumer.resume(*self._consumer.paused())
        fetched = await self._consumer.getmany(timeout_ms=200, max_records=100)
        for partition, records in fetched.items():
            for record in records:
                if not turn.still_allowed():
                    self._consumer.seek(partition, record.offset)
                    break
                self._book(record.value)
        if fetched:
            await self._consumer.commit()

    async def _stand_still(self) -> None:
        """Keep the partitions: who does not poll is taken for dead and loses them."""
        self._consumer.pause(*self._consumer.assignment())
        fetched = await self._consumer.getmany(timeout_ms=200)
        for partition, records in fetched.items():
            # given out since: not handled, so it is fetched again
            self._consumer.seek(partition, records[0].offset)

    def _book(self, order: bytes) -> None:
        with self._ledger.open("ab") as file:
            file.write(order + b"\n")


async def main() -> None:
    """Consume until the process is told to end."""
    parser = argparse.ArgumentParser()
    for name in ("scope", "redis", "kafka", "topic", "ledger"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    consumer = AIOKafkaConsumer(
        options.topic,
        bootstrap_servers=options.kafka,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    async with AsyncGuard(options.scope, RedisAddress(url=options.redis)) as guard:
        await consumer.start()
        task = asyncio.create_task(Billing(consumer, guard, Path(options.ledger)).run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            pass
        finally:
            await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main())
