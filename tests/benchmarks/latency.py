"""`latency`: from the broker's append to the transition to firing, while a stream runs.

The load comes from this process, the daemon runs in one of its own. Its windows are full when the
load begins, as after five minutes of it. A probe is a series that no event had before; the rule
`probe > 0` fires for it, and its end lets it go again.
"""

import asyncio
import itertools
import random
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from rollbackd.app.daemon import Daemon, spare_the_collector
from rollbackd.events.collecting import Collector
from rollbackd.events.record import decode_record_into
from rollbackd.model.events import Rows
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.triggers.engine import Engine
from tests.benchmarks.bench import PARTITIONS, Bench, run_async, send_batches
from tests.benchmarks.draining import daemon_settings, received
from tests.benchmarks.results import Figure, Result, percentile
from tests.benchmarks.workload import ARMS, SERIES, SERVICES, event
from tests.services.polling import eventually

RATES = (5_000, 10_000, 20_000)
_BOUND_MS = 150
_TICK_SECONDS = 0.01
#: Of one run; the first run of each rate warms up and is not counted.
_RUN_SECONDS = 3.0
_PROBES_A_SECOND = 40
_PROBE_ENDS_SECONDS = 2.0
#: Longer than this is as bad as never.
_LATEST_SECONDS = 10.0
_WINDOW_SECONDS = 300
_PROBE_RULE = "      - {alert: Probe, expr: 'probe > 0'}\n"

#: Probe -> time in milliseconds.
Times = dict[str, float]


async def latency(bench: Bench) -> list[Result]:
    """One line a rate."""
    return [await _at(bench, per_second) for per_second in RATES]


async def _at(bench: Bench, per_second: int) -> Result:
    topic = f"stream-{per_second}"
    await bench.create_topic(topic)
    address = (await bench.kafka()).address
    ours, theirs = get_context("spawn").Pipe()
    directory = bench.scratch("latency")
    child = get_context("spawn").Process(
        target=observe, args=(theirs, address, topic, directory, per_second), daemon=True
    )
    child.start()
    try:
        await _reply(ours)
        bare = asyncio.create_task(_see_bare(address, topic))
        runs, late = await _load(address, topic, per_second, bench.runs)
        await asyncio.sleep(1)
        ours.send("stop")
        fired, took = await _reply(ours)
        bare.cancel()
        seen = (await asyncio.gather(bare, return_exceptions=True))[0]
        assert isinstance(seen, dict), seen
    finally:
        child.kill()
    sent = sum(len(run) for run in runs)
    return _result(per_second, runs[1:], fired, seen, took / max(1, late["sent"]), late, sent)


def _result(
    per_second: int,
    runs: list[Times],
    fired: Times,
    seen: Times,
    taken: float,
    late: dict[str, float],
    probes: int,
) -> Result:
    p50, p99 = _delays(runs, fired)
    _, peer = _delays(runs, seen)
    missing = sum(1 for run in runs for probe in run if probe not in fired)
    sustained = taken > 0.99
    most = per_second == max(RATES)
    said = (
        f"{per_second:,}/s: {late['rate']:,.0f} events/s were sent, {taken:.1%} of them were in the"
        f" engine 1 s after the end; {probes} probes, {missing} never seen to fire"
    )
    return Result(
        row="latency",
        what=f"append -> fired at {per_second:,} events/s, 200 rules, 10,000 series: p99",
        ours=p99,
        peer=peer,
        peer_name="append -> seen by a bare consumer, p99",
        verdict=f"p50 {p50}" + ("" if sustained else "; NOT sustained"),
        bound=f"< {_BOUND_MS} ms" if most else "",
        met=(p99.median < _BOUND_MS and sustained) if most else None,
        notes=[said],
    )


def _delays(runs: list[Times], arrived: Times) -> tuple[Figure, Figure]:
    p50: list[float] = []
    p99: list[float] = []
    for run in runs:
        found = [arrived.get(probe, at + _LATEST_SECONDS * 1_000) - at for probe, at in run.items()]
        p50.append(percentile(found, 0.50))
        p99.append(percentile(found, 0.99))
    return Figure("ms", p50), Figure("ms", p99)


async def _load(
    address: str, topic: str, per_second: int, runs: int
) -> tuple[list[Times], dict[str, float]]:
    """Send at a steady pace, whatever becomes of it; when each probe was appended, run by run."""
    producer: Any = AIOKafkaProducer(
        bootstrap_servers=address, max_batch_size=256 << 10, enable_idempotence=False, acks=1
    )
    await producer.start()
    templates = _templates()
    found: list[Times] = []
    ends: list[tuple[float, str]] = []
    sent, began = 0, time.monotonic()
    try:
        for run in range(runs + 1):
            waiting: dict[str, Any] = {}
            deadline = began + (run + 1) * _RUN_SECONDS
            while (now := time.monotonic()) < deadline:
                count = int((now - began) * per_second) - sent
                await send_batches(producer, topic, _events(templates, sent, count))
                sent += count
                while (now - began) * _PROBES_A_SECOND > len(waiting) + sum(map(len, found)):
                    name = f"{topic}-{run}-{len(waiting)}"
                    waiting[name] = await _probe(producer, topic, name, 1)
                    ends.append((now + _PROBE_ENDS_SECONDS, name))
                while ends and ends[0][0] < now:
                    await _probe(producer, topic, ends.pop(0)[1], 0)
                await asyncio.sleep(max(0.0, _TICK_SECONDS - (time.monotonic() - now)))
            found.append({name: (await ack).timestamp for name, ack in waiting.items()})
        return found, {"sent": sent, "rate": sent / (time.monotonic() - began)}
    finally:
        await producer.stop()


async def _probe(producer: Any, topic: str, name: str, value: float) -> Any:
    body = {"event": "probe", "service": name, "values": {"probe": value}}
    return await producer.send(topic, orjson.dumps(body), partition=hash(name) % PARTITIONS)


def _templates() -> list[tuple[bytes, bytes]]:
    """Events around their time: made before, so that the load costs little while it runs."""
    rng = random.Random(7)
    made = [
        event(
            f"svc-{n % SERVICES:02d}", ARMS[n // SERVICES % 2], f"i-{n // 100 % 50}", ts=0, rng=rng
        )
        for n in range(SERIES // 2)
    ]
    halves = [value.partition(b'"ts":0,') for value in made]
    return [(first, last) for first, _, last in halves]


def _events(templates: list[tuple[bytes, bytes]], first: int, count: int) -> dict[int, list[bytes]]:
    waiting: dict[int, list[bytes]] = {}
    now = b'"ts":%.3f,' % time.time()
    for number in range(first, first + count):
        before, after = templates[number % len(templates)]
        partition = number % SERVICES % PARTITIONS
        waiting.setdefault(partition, []).append(before + now + after)
    return waiting


async def _see_bare(address: str, topic: str) -> Times:
    """When a consumer that does nothing else has a probe in its hands; until cancelled."""
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    await consumer.start()
    seen: Times = {}
    try:
        consumer.assign([TopicPartition(topic, n) for n in range(PARTITIONS)])
        while True:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                now_ms = time.time() * 1_000
                for record in records:
                    if record.value.startswith(b'{"event":"probe"'):
                        seen.setdefault(orjson.loads(record.value)["service"], now_ms)
    except asyncio.CancelledError:
        return seen
    finally:
        await consumer.stop()


async def _reply(pipe: Connection) -> Any:
    return await asyncio.to_thread(pipe.recv)


def observe(pipe: Connection, address: str, topic: str, directory: Path, per_second: int) -> None:
    """The daemon's process: sends when it is ready, and at the end what fired when."""
    run_async(_observe(pipe, address, topic, directory, per_second))


async def _assigned(daemon: Daemon) -> bool:
    return bool(daemon.telemetry.kafka_rebalances._value.get())


async def _fill_windows(engine: Engine, per_second: int) -> None:
    """What five minutes of the load up to now leave behind."""
    into = Collector()
    for before, after in _templates():
        decode_record_into(before + b'"ts":0,' + after, into, now_ms=1)
    now_ms = time.time_ns() // 1_000_000
    endless = itertools.cycle([(schema, values) for schema, _, values in into.samples.rows])
    for time_ms in range(now_ms - _WINDOW_SECONDS * 1_000, now_ms, 100):
        batch = Rows()
        batch.rows = [(s, time_ms, v) for s, v in itertools.islice(endless, per_second // 10)]
        engine.ingest(batch, now_ms)
        await asyncio.sleep(0)


async def _observe(
    pipe: Connection, address: str, topic: str, directory: Path, per_second: int
) -> None:
    settings = daemon_settings(address, topic, topic, directory, more_rules=_PROBE_RULE)
    daemon = Daemon(settings)
    await daemon.start()
    fired: Times = {}
    dispatch = daemon._parts.deciding.dispatcher.dispatch

    async def watched(transitions: list[Trigger], firing: list[Trigger]) -> None:
        now_ms = time.time() * 1_000
        for trigger in transitions:
            if trigger.state is RuleState.FIRING:
                fired.setdefault(trigger.label("service"), now_ms)
        await dispatch(transitions, firing)

    daemon._parts.deciding.dispatcher.dispatch = watched  # type: ignore[method-assign,assignment]
    await eventually(lambda: _assigned(daemon), within_seconds=30)
    await _fill_windows(daemon.engine, per_second)
    spare_the_collector()
    await asyncio.sleep(0.5)
    pipe.send("ready")
    await asyncio.to_thread(pipe.recv)
    pipe.send((fired, received(daemon)))
