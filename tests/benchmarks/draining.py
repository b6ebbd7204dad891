"""`drain` and the Kafka part of `refill`: a topic through the daemon, and through a bare loop.

Both are timed alike: from the moment at which some records are in to the last record.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from rollbackd.app.daemon import Daemon
from rollbackd.app.process import spare_the_collector
from rollbackd.settings import (
    ClockSettings,
    HttpSettings,
    KafkaSettings,
    KafkaTopic,
    Settings,
)
from rollbackd.settings.values import EngineSettings
from tests.benchmarks.bench import PARTITIONS, RECORDS, Bench, isolated, run_async
from tests.benchmarks.results import Figure, Result, rate
from tests.benchmarks.workload import RULES, SERIES, rule_text
from tests.end_to_end.daemon import TREE
from tests.services.processes import free_port

_POLL_SECONDS = 0.01
_PATIENCE_SECONDS = 60.0


async def drain(bench: Bench) -> list[Result]:
    """Kafka to rules, against `getmany` and `orjson.loads`."""
    topic, start_ms = await bench.drained_topic()
    address = (await bench.kafka()).address
    drained, loops = [], []
    for number in range(bench.runs):
        loops.append(await isolated(drain_bare, address, topic))
        directory = bench.scratch("drain")
        group = f"drain-{number}"
        drained.append(await isolated(drain_daemon, address, topic, group, directory, start_ms))
    ours, bare = rate([each[0] for each in drained]), rate([each[0] for each in loops])
    busy, bare_busy = (Figure("us", [each[1] for each in found]) for found in (drained, loops))
    result = ours.median / bare.median
    return [
        Result(
            row="drain",
            what=f"Kafka -> rules, {RULES} rules, {SERIES:,} series, the whole daemon",
            ours=ours,
            peer=bare,
            peer_name="getmany + orjson.loads",
            verdict=f"{result:.2f} of the peer's rate",
            bound=">= 0.5",
            met=result >= 0.5,
            notes=[f"processor time an event: {busy}, of the peer {bare_busy}"],
        )
    ]


async def refill_from_kafka(bench: Bench) -> Result:
    """The windows of a group that had committed the end, read again."""
    topic, start_ms = await bench.drained_topic()
    address = (await bench.kafka()).address
    runs: list[float] = []
    for number in range(bench.runs):
        group = f"refill-{number}"
        await _commit_end(address, topic, group)
        directory = bench.scratch("refill")
        found = await isolated(drain_daemon, address, topic, group, directory, start_ms)
        runs.append(found[0])
    seconds = 6_000_000 / rate(runs).median
    return Result(
        row="refill",
        what=f"a window read again from Kafka ({RECORDS:,} events)",
        ours=rate(runs),
        verdict=f"5 minutes at 20,000 events/s take {seconds:.0f} s",
        bound="",
        notes=["from Kafka the figure is scaled up from a topic that holds 20 s of such a stream"],
    )


class Timer:
    """Starts when something has arrived."""

    def __init__(self) -> None:
        self._first = self._began = self._busy = 0.0

    def saw(self, count: float) -> None:
        if count and not self._first:
            self._first, self._began = count, time.perf_counter()
            self._busy = time.process_time()

    def result(self, count: float) -> tuple[float, float]:
        """Events a second, and microseconds of processor time for one."""
        more = count - self._first
        busy = time.process_time() - self._busy
        return more / (time.perf_counter() - self._began), busy / more * 1e6


def drain_bare(address: str, topic: str, count: int = RECORDS) -> tuple[float, float]:
    """Events a second of the peer, and its processor time for one in microseconds."""
    return run_async(_drain_bare(address, topic, count))


async def _drain_bare(address: str, topic: str, all_of_them: int) -> tuple[float, float]:
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [TopicPartition(topic, n) for n in range(PARTITIONS)]
        consumer.assign(tps)
        await consumer.seek_to_beginning()
        count, timer = 0, Timer()
        while count < all_of_them:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    orjson.loads(record.value)
                count += len(records)
            timer.saw(count)
        return timer.result(count)
    finally:
        await consumer.stop()


def drain_daemon(
    address: str, topic: str, group: str, directory: Path, start_ms: int
) -> tuple[float, float]:
    """The same of the daemon, whose clock stands where the topic's events end."""
    clock = ClockSettings(start_ms=start_ms + 60_000, speed=1.0)
    settings = daemon_settings(address, topic, group, directory, clock=clock)
    return run_async(drain_with(settings, RECORDS))


async def drain_with(settings: Settings, records: int) -> tuple[float, float]:
    """The same of a daemon that is set up otherwise, on a topic of so many records."""
    daemon = Daemon(settings)
    await daemon.start()
    spare_the_collector()
    try:
        timer = Timer()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (count := received(daemon)) < records:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{count} of {records} records after {_PATIENCE_SECONDS} s")
            timer.saw(count)
            await asyncio.sleep(_POLL_SECONDS)
        return timer.result(count)
    finally:
        await daemon.stop()


def received(daemon: Daemon) -> float:
    """Records that went into the engine."""
    counters = daemon.telemetry.events_received
    return float(sum(counters.labels(s)._value.get() for s in ("kafka", "kafka-refill")))


def daemon_settings(
    address: str,
    topic: str,
    group: str,
    directory: Path,
    *,
    clock: ClockSettings | None = None,
    more_rules: str = "",
) -> Settings:
    """The daemon as it is shipped, on one topic, with the workload's rules."""
    rules = directory / "rules.yaml"
    rules.write_text(rule_text(extra=more_rules))
    tree = directory / "tree.yaml"
    tree.write_text(TREE)
    return Settings(
        state_dir=directory / "state",
        http=HttpSettings(port=free_port()),
        kafka=KafkaSettings(
            bootstrap_servers=[address], topics=[KafkaTopic(name=topic)], group_id=group
        ),
        rules=[rules],
        decision_tree=tree,
        engine=EngineSettings(),
        clock=clock or ClockSettings(),
        log_level="error",
    )


async def _commit_end(address: str, topic: str, group: str) -> None:
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=address, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        tps = [TopicPartition(topic, n) for n in range(PARTITIONS)]
        consumer.assign(tps)
        await consumer.commit(await consumer.end_offsets(tps))
    finally:
        await consumer.stop()
