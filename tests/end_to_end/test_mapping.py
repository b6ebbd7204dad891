"""Events of others on a real topic become what the shipped rules read."""

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.end_to_end.daemon import RULES, DaemonProcess
from tests.services.kafka import Broker
from tests.services.polling import eventually

SAMPLE = json.loads((RULES / "mappings" / "samples" / "rag-answer.json").read_text())


@pytest.mark.services
async def test_a_topic_with_a_mapping_fires_a_shipped_rule(kafka: Broker, tmp_path: Path) -> None:
    """250 answers of a canary whose sources do not cover them; what cannot be read is buried."""
    topic = f"answers-{uuid.uuid4().hex[:8]}"
    await kafka.create_topic(topic, 1)
    events: list[dict[str, Any]] = [
        {**SAMPLE, "ts": time.time(), "quality": {"coverage_percent": 30}} for _ in range(250)
    ]
    events += [{**SAMPLE, "ts": "yesterday"}, {"kind": "of somebody else"}]
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
    await producer.start()
    try:
        for event in events:
            await producer.send(topic, json.dumps(event).encode())
        await producer.flush()
    finally:
        await producer.stop()
    config = {
        "kafka": {
            "bootstrap_servers": [kafka.address],
            "topics": [{"name": topic, "mapping": "rag-answer"}],
            "group_id": f"group-{topic}",
        }
    }
    async with DaemonProcess(tmp_path, config=config) as daemon:

        async def fired() -> bool:
            metrics = await daemon.get("/metrics", parse=False)
            return 'rollbackd_triggers_total{rule="CoverageLow"} 1.0' in metrics

        await eventually(fired, within_seconds=60, every_seconds=0.2)
        metrics = await daemon.get("/metrics", parse=False)
        assert 'rollbackd_dead_letters_total{source="kafka"} 1.0' in metrics
        assert 'rollbackd_mapping_ignored_events_total{mapping="rag-answer"} 1.0' in metrics
