"""The consumers of a group, on a real broker."""

import asyncio
import contextlib
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
async def consuming(broker: Broker, topic: str, group: str) -> AsyncIterator[None]:
    """A consumer of the group that holds its partitions."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=broker.address, group_id=group)
    listener = Assigned()
    consumer.subscribe([topic], listener=listener)
    await consumer.start()
    try:
        async with asyncio.timeout(30):
            await listener.done.wait()
        yield
    finally:
        await consumer.stop()


async def ask(broker: Broker, group: str) -> Confirmation:
    settings = KafkaSettings(bootstrap_servers=[broker.address], topics=[])
    probe = FreezeProbe(kind="consumers", params={"group": group})
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
