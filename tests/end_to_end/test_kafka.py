"""A real Kafka topic drives each branch, with the shipped rules, to a closed incident."""

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.end_to_end.daemon import (
    BRANCHES,
    FLIPPED,
    GIVEN_BACK,
    DaemonProcess,
    Healthy,
    rollout,
)
from tests.services.kafka import Broker
from tests.services.polling import eventually
from tests.services.redis import Redis


def bad_canary(branch: str, scope: str) -> Iterator[dict[str, Any]]:
    """Events that fire one of the shipped rules of the branch."""
    service, region = scope.split("/")
    envelope = {"event": "answer.served", "service": service, "region": region, "arm": "canary"}
    now = time.time()
    if branch == "quality_regression":
        for index in range(250):
            yield {**envelope, "ts": now - 1 + index / 250, "values": {"delta_s": 0.8}}
    elif branch == "cost_or_latency":
        for index in range(1200):
            yield {**envelope, "ts": now - 1 + index / 1200, "values": {"latency_seconds": 9.0}}
    elif branch == "retriever_mismatch":
        yield {**envelope, "ts": now, "values": {"retriever_index_mismatch": 1}}
    else:
        for number in (0, 1):
            effect = {"event": "effect.receipt", "key": "order-1", "effect_id": f"ch-{number}"}
            yield {**envelope, **effect, "ts": now - 2 + number}


@pytest.fixture
async def topic(kafka: Broker) -> str:
    """A topic that no other test uses."""
    name = f"events-{uuid.uuid4().hex[:8]}"
    await kafka.create_topic(name, 2)
    await kafka.create_topic(f"{name}-dead", 1)
    return name


def config_for(kafka: Broker, topic: str, redis_server: Redis) -> dict[str, Any]:
    return {
        "store": "redis",
        "redis": {"url": redis_server.url},
        "kafka": {
            "bootstrap_servers": [kafka.address],
            "topics": [{"name": topic}],
            "group_id": f"group-{topic}",
            "dead_letter_topic": f"{topic}-dead",
            "stall": "10s",
            # a member that was killed is gone after so long
            "session_timeout": "8s",
        },
    }


async def produce(kafka: Broker, topic: str, *values: bytes, key: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
    await producer.start()
    try:
        for value in values:
            await producer.send(topic, value, key=key.encode())
        await producer.flush()
    finally:
        await producer.stop()


@pytest.mark.services
@pytest.mark.parametrize("branch", BRANCHES)
async def test_events_on_a_topic_are_acted_on(
    branch: str,
    scope: str,
    tmp_path: Path,
    kafka: Broker,
    topic: str,
    redis_server: Redis,
) -> None:
    """Bad canary events fire a shipped rule; the switch flips in Redis and the incident closes."""
    async with DaemonProcess(
        tmp_path / "daemon", config=config_for(kafka, topic, redis_server)
    ) as daemon:
        await rollout(daemon, scope)
        events = [json.dumps(event).encode() for event in bad_canary(branch, scope)]
        await produce(kafka, topic, *events, key=scope)

        await daemon.until_incident(scope, "watching", within_seconds=40)
        control, field, value = FLIPPED[branch]
        assert (await daemon.controls(scope))[control][field] == value
        async with Healthy(daemon, scope):
            closed = await daemon.until_incident(scope, "closed")
        assert closed["branch"] == branch
        controls = await daemon.controls(scope)
        for name, expected in GIVEN_BACK[branch].items():
            assert expected.items() <= controls[name].items()
        assert daemon.unhandled() == []


@pytest.mark.services
async def test_a_poison_record_goes_to_the_dead_letters_and_blocks_nothing(
    scope: str, tmp_path: Path, kafka: Broker, topic: str, redis_server: Redis
) -> None:
    """Records behind a poison record are handled, and the dead-letter topic has it."""
    async with DaemonProcess(
        tmp_path / "daemon", config=config_for(kafka, topic, redis_server)
    ) as daemon:
        await rollout(daemon, scope)
        good = [json.dumps(e).encode() for e in bad_canary("retriever_mismatch", scope)]
        await produce(kafka, topic, b"\xff not json", *good, key=scope)
        await daemon.until_incident(scope, "watching", within_seconds=40)
        consumer = AIOKafkaConsumer(
            f"{topic}-dead", bootstrap_servers=kafka.address, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            records = await asyncio.wait_for(consumer.getone(), 20)
        finally:
            await consumer.stop()
        assert records.value == b"\xff not json"


@pytest.mark.services
async def test_windows_are_refilled_after_a_restart_without_acting(
    scope: str, tmp_path: Path, kafka: Broker, topic: str, redis_server: Redis
) -> None:
    """Half of the samples before a kill and half after it make the floor of the rule together."""
    daemon = DaemonProcess(tmp_path / "daemon", config=config_for(kafka, topic, redis_server))
    events = [json.dumps(event).encode() for event in bad_canary("quality_regression", scope)]
    async with daemon:
        await rollout(daemon, scope)
        await produce(kafka, topic, *events[:150], key=scope)

        async def counted() -> float:
            answer = await daemon.get("/api/v1/query?expr=sum(count_over_time(delta_s[5m]))")
            return sum(float(each["value"]) for each in answer["vector"])

        async def first_half() -> bool:
            return await counted() >= 150

        await eventually(first_half, within_seconds=40)
        daemon.kill()
        await daemon.start()
        await produce(kafka, topic, *events[150:], key=scope)
        await daemon.until_incident(scope, "watching", within_seconds=60)
        assert await counted() == len(events)
