"""The consumers of a group, on a real broker."""

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener

from rollbackd.model.incidents import Confirmation
from rollbackd.model.policy import FreezeProbe
from rollbackd.probes import Probes
from rollbackd.settings import KafkaSettings
from tests.incidents.samples import opened
from tests.services.kafka import Broker
from tests.services.polling import eventually


class Assigned(ConsumerRebalanceListener):  # type: ignore[misc]
    """Whether partitions were given out."""

    def __init__(self) -> None:
        self.done = asyncio.Event()

    async def on_partitions_revoked(self, revoked: Any) -> None: ...

    async def on_partitions_assigned(self, assigned: Any) -> None:  # noqa: ARG002
        self.done.set()


@contextlib.asynccontextmanager
async def consuming(broker: Broker, topic: str, group: str) -> AsyncIterator[Any]:
    """A consumer of the group that holds its partitions, and commits when it is told to."""
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=broker.address, group_id=group, enable_auto_commit=False
    )
    listener = Assigned()
    consumer.subscribe([topic], listener=listener)
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            await listener.done.wait()
        yield consumer
    finally:
        await consumer.stop()


async def ask(broker: Broker, group: str, idle_ms: int = 0) -> Confirmation:
    settings = KafkaSettings(bootstrap_servers=[broker.address], topics=[])
    probe = FreezeProbe(kind="consumers", params={"group": group, "idle_ms": idle_ms})
    return await Probes(settings).confirm(opened(), probe)


@pytest.mark.services
async def test_a_group_is_confirmed_once_it_holds_nothing(kafka: Broker) -> None:
    """While it holds partitions it is not; when its members have left it is."""
    name = f"writers-{uuid.uuid4().hex[:8]}"
    await kafka.create_topic(name, 3)
    async with consuming(kafka, name, name):
        held = await ask(kafka, name)
        assert (held.probe, held.confirmed) == ("consumers", False)
        assert held.detail == f"group `{name}` still holds 3 partitions"

    async def confirmed() -> bool:
        return (await ask(kafka, name)).confirmed

    await eventually(confirmed, within_seconds=30)


@pytest.mark.services
async def test_a_group_that_is_idle_is_confirmed_where_that_is_enough(kafka: Broker) -> None:
    """It holds its partitions, as a paused one does; one that commits is not idle."""
    name = f"writers-{uuid.uuid4().hex[:8]}"
    await kafka.create_topic(name, 3)
    async with consuming(kafka, name, name) as consumer:
        (partition, *_) = consumer.assignment()

        async def commit() -> None:
            for offset in itertools.count(1):
                await consumer.commit({partition: offset})
                await asyncio.sleep(0.01)

        committing = asyncio.create_task(commit())
        said = await ask(kafka, name, 300)
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
        assert (said.confirmed, said.detail) == (False, f"group `{name}` still commits")
        said = await ask(kafka, name, 300)
        assert (said.confirmed, said.detail) == (
            True,
            f"group `{name}` committed nothing for 300 ms",
        )


@pytest.mark.services
async def test_a_group_that_nobody_knows_is_not_confirmed(kafka: Broker) -> None:
    """Its name may be mistyped; the real one may be writing."""
    said = await ask(kafka, "no-such-group")
    assert (said.confirmed, said.detail) == (
        False,
        "group `no-such-group` is not known to the broker",
    )


async def test_a_broker_that_is_down_confirms_nothing() -> None:
    """Neither does a config without one."""
    probe = FreezeProbe(kind="consumers", params={"group": "writers"})
    nowhere = KafkaSettings(bootstrap_servers=["127.0.0.1:1"], topics=[])
    assert not (await Probes(nowhere).confirm(opened(), probe)).confirmed
    said = await Probes(None).confirm(opened(), probe)
    assert said.detail == "the config names no Kafka to ask: add `kafka:`"
