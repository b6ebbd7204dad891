"""A stretch of a real Kafka topic."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from rollbackd.app.backtest.kafka_range import KafkaRange
from rollbackd.app.backtest.recording import Entry, Faults, UnreadableError, merged
from rollbackd.settings import KafkaSettings
from tests.app.backtest.playing import HIGH, START, TREE, event
from tests.events.wire import write_request
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


async def played(kafka: Broker, topic: str, folder: Path, *more: str) -> Any:
    """What the command says of a topic, as JSON."""
    (folder / "rules.yaml").write_text(HIGH.replace("level > 10", "level > 30"))
    (folder / "tree.yaml").write_text(TREE)

    def command() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "-m", "rollbackd", "backtest", "--kafka", kafka.address,
                "--topic", topic, "--from", str(START), "--rules", folder / "rules.yaml",
                "--decision-tree", folder / "tree.yaml", "--output", "json", *more,
            ],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    done = await asyncio.to_thread(command)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_the_command_plays_a_topic(kafka: Broker, topic: str, tmp_path: Path) -> None:
    """As it plays a file; the record that is bad is named."""
    facts = await played(kafka, topic, tmp_path)
    assert facts["input"]["events"] == 60
    assert [bad["place"] for bad in facts["input"]["bad_inputs"]] == [f"{topic}[0]@20"]
    assert [(t["at_ms"] // 1_000 - START, t["state"]) for t in facts["transitions"]] == [
        (31, "firing")
    ]


MAPPING = """
events:
  - {event: answer.served, service: $.app, time: $.at, when: {$.kind: l}, values: {level: $.l}}
"""


async def test_a_topic_of_ones_own_is_read_as_the_config_says(
    kafka: Broker, tmp_path: Path
) -> None:
    """By its mapping there, or by the one that is named instead."""
    name = f"foreign-{uuid.uuid4().hex[:8]}"
    await kafka.create_topic(name, 1)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
    await producer.start()
    events: list[dict[str, Any]] = [
        {"kind": "l", "app": "rag", "at": START, "l": 20},
        {"kind": "other"},
        {"kind": "l", "app": "rag", "at": START + 10, "l": "high"},
        {"kind": "l", "app": "rag", "l": 40},
    ]
    for at, event_ in enumerate(events):
        stamp_ms = (START + 10 * at) * 1_000
        await producer.send(name, json.dumps(event_).encode(), timestamp_ms=stamp_ms)
    await producer.stop()
    config = tmp_path / "rollbackd.yaml"
    (tmp_path / "levels.yaml").write_text(MAPPING)
    (tmp_path / "blind.yaml").write_text(MAPPING.replace("$.l}}", "$.x}}"))

    def configure(topic: str) -> tuple[str, ...]:
        text = "mappings: [levels.yaml, blind.yaml]\nkafka:\n  bootstrap_servers: [nobody:1]\n"
        config.write_text(f"{text}  topics: [{topic}]\n")
        return "--config", str(config)

    by_config = configure(f"{{name: {name}, mapping: levels}}")
    facts = await played(kafka, name, tmp_path, *by_config)
    assert (facts["input"]["events"], facts["input"]["ignored"]) == (2, 1)
    (bad,) = facts["input"]["bad_inputs"]
    assert bad["place"] == f"{name}[0]@2"
    assert bad["reason"] == "`values.level`: `$.l` is `high`, which is not a number"
    assert [(t["at_ms"] // 1_000 - START, t["state"]) for t in facts["transitions"]] == [
        (30, "firing")
    ]

    by_option = configure(f"{{name: {name}, mapping: blind}}")
    facts = await played(kafka, name, tmp_path, *by_option, "--mapping", "levels")
    assert facts["input"]["events"] == 2


async def test_a_topic_in_another_format_is_read_as_the_config_says(
    kafka: Broker, tmp_path: Path
) -> None:
    """Bytes too, which no file could hold; events in headers are CloudEvents without a word."""
    config = tmp_path / "rollbackd.yaml"
    names = {format_: f"{format_}-{uuid.uuid4().hex[:8]}" for format_ in ("remote_write", "auto")}
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
    await producer.start()
    labels = {"__name__": "level", "service": "rag", "region": "eu"}
    bodies = {
        "remote_write": write_request((labels, [(40.0, (START + 9) * 1_000)])),
        "auto": json.dumps(event(9, level=40)).encode(),
    }
    headers = {"ce_specversion": b"1.0", "ce_id": b"1", "ce_source": b"s", "ce_type": b"answer"}
    headers["content-type"] = b"application/json"
    for format_, name in names.items():
        await kafka.create_topic(name, 1)
        sent = [] if format_ == "remote_write" else [*headers.items()]
        stamp_ms = (START + 9) * 1_000
        for _ in range(2):
            await producer.send(name, bodies[format_], timestamp_ms=stamp_ms, headers=sent)
    await producer.stop()
    topics = ", ".join(f"{{name: {name}, format: {format_}}}" for format_, name in names.items())
    config.write_text(f"kafka: {{bootstrap_servers: [nobody:1], topics: [{topics}]}}\n")
    used = {}
    for format_, name in names.items():
        facts = await played(kafka, name, tmp_path, "--config", str(config))
        used[format_] = (facts["input"]["events"], facts["input"]["ignored"], facts["input"]["bad"])
        assert [t["at_ms"] // 1_000 - START for t in facts["transitions"]] == [9]
    # the second event with the same id is the first one
    assert used == {"remote_write": (2, 0, 0), "auto": (1, 1, 0)}
