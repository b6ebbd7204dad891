"""A stretch of a real Kafka topic."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from rollbackd.app.backtest.kafka_range import KafkaRange
from rollbackd.app.backtest.recording import Entry, Faults, UnreadableError, merged
from rollbackd.settings import KafkaSettings
from tests.app.backtest.playing import HIGH, START, TREE, event
from tests.services.kafka import Broker
from tests.services.processes import free_port

pytestmark = pytest.mark.services

PARTITIONS = 3


@pytest.fixture
async def topic(kafka: Broker) -> str:
    """A topic with an event each second for a minute, over all partitions, and one bad record."""
    name = f"history-{uuid.uuid4().hex[:8]}"
    await kafka.create_topic(name, PARTITIONS)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
    await producer.start()
    for second in range(60):
        await producer.send(
            name,
            json.dumps(event(second, level=second)).encode(),
            partition=second % PARTITIONS,
            timestamp_ms=(START + second) * 1_000,
        )
    await producer.send(name, b"nonsense", partition=0, timestamp_ms=(START + 60) * 1_000)
    await producer.send(name, None, key=b"k", partition=0, timestamp_ms=(START + 60) * 1_000)
    await producer.stop()
    return name


async def read(
    address: str, topic: str, begin: int, end: int
) -> tuple[Sequence[Entry], Faults, int]:
    """The entries between two seconds, what was bad, and how many partitions had any."""
    faults = Faults()
    settings = KafkaSettings(bootstrap_servers=[address], topics=[])
    stretch = KafkaRange(
        settings, topic, from_ms=(START + begin) * 1_000, to_ms=(START + end) * 1_000, faults=faults
    )
    try:
        partitions = await stretch.partitions()
        entries = [entry async for entry in merged(partitions)]
        assert all(each.done == each.total for each in partitions)
    finally:
        await stretch.close()
    return entries, faults, len(partitions)


async def test_a_stretch_is_read_in_the_order_of_time(kafka: Broker, topic: str) -> None:
    """From the first time on, until before the second, whatever the partition."""
    entries, faults, partitions = await read(kafka.address, topic, 10, 40)
    assert [entry.arrival_ms // 1_000 - START for entry in entries] == list(range(10, 40))
    assert (faults.count, partitions) == (0, PARTITIONS)


async def test_an_open_end_is_the_end_of_the_topic_as_it_is(kafka: Broker, topic: str) -> None:
    """A bad record is named by its offset, a tombstone is nothing."""
    entries, faults, _ = await read(kafka.address, topic, 50, 100_000)
    assert len(entries) == 10
    assert [place for place, _ in faults.first] == [f"{topic}[0]@20"]


async def test_a_stretch_without_records_is_empty(kafka: Broker, topic: str) -> None:
    """No partition, no wait."""
    entries, _, partitions = await read(kafka.address, topic, 1_000, 2_000)
    assert (list(entries), partitions) == ([], 0)


async def test_a_topic_that_is_not_there_is_said(kafka: Broker) -> None:
    """It is not made by asking for it."""
    with pytest.raises(UnreadableError, match="there is no topic `nobody`"):
        await read(kafka.address, "nobody", 0, 1)


async def test_brokers_that_do_not_answer_are_said() -> None:
    """With their address."""
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(UnreadableError, match=f"cannot read topic `t` at {address}"):
        await asyncio.wait_for(read(address, "t", 0, 1), 60)


async def test_the_command_plays_a_topic(kafka: Broker, topic: str, tmp_path: Path) -> None:
    """As it plays a file; the record that is bad is named."""
    (tmp_path / "rules.yaml").write_text(HIGH.replace("level > 10", "level > 30"))
    (tmp_path / "tree.yaml").write_text(TREE)

    def command() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "-m", "rollbackd", "backtest", "--kafka", kafka.address,
                "--topic", topic, "--from", str(START), "--rules", tmp_path / "rules.yaml",
                "--decision-tree", tmp_path / "tree.yaml", "--output", "json",
            ],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    done = await asyncio.to_thread(command)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["input"]["events"] == 60
    assert [bad["place"] for bad in facts["input"]["bad_inputs"]] == [f"{topic}[0]@20"]
    assert [(t["at_ms"] // 1_000 - START, t["state"]) for t in facts["transitions"]] == [
        (31, "firing")
    ]
