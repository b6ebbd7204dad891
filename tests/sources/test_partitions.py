"""A partition moves away and back: its windows go with it, and come back whole."""

import json

import pytest

from rollbackd.model.events import Batch
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.triggers.detectors import DetectorBank
from rollbackd.triggers.engine import Engine
from tests.services.kafka import Broker, Tansu
from tests.sources.conftest import NOW, Bench, RecordingSink, event, until

pytestmark = pytest.mark.services

RULES = "groups: [{name: g, rules: [{alert: A, expr: 'count_over_time(n[1h]) > 1e9'}]}]"
WINDOW_MS = 3_600_000


class EngineSink(RecordingSink):
    """A sink whose windows are those of a real engine."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine.build([read_rule_file(RULES, file="rules.yaml")])

    async def ingest(self, batch: Batch, *, source: str, origin: str = "") -> None:
        await super().ingest(batch, source=source, origin=origin)
        self.engine.ingest(batch.samples, NOW * 1_000, origin)

    async def forget(self, origin: str) -> None:
        await super().forget(origin)
        self.engine.drop_origin(origin)

    def windows(self) -> dict[str, int]:
        """Samples in the window of each service, which is named after its partition."""
        count = self.engine.compile("count_over_time(n[1h])")
        found = self.engine.query(count, NOW * 1_000)
        return {dict(labels)["service"]: int(value) for labels, value in found}


async def produce(bench: Bench, count: int) -> None:
    """So many events to each of the four partitions."""
    for partition in range(4):
        await bench.produce(
            [event(n, service=f"s{partition}") for n in range(count)], partition=partition
        )


@pytest.fixture
def partitions(wide_bench: Bench, kafka: Broker) -> Bench:
    if isinstance(kafka, Tansu):
        pytest.skip("tansu takes the end of its last batch for the end of the log")
    return wide_bench


async def test_windows_move_with_their_partitions(partitions: Bench) -> None:
    """Away, growing there, and back: at each stop every sample is there once, at one member."""
    first, second = EngineSink(), EngineSink()
    partitions.member(first, refill_ms=WINDOW_MS)
    await produce(partitions, 100)
    every = {f"s{n}": 100 for n in range(4)}
    await until(lambda: first.windows() == every)
    assert first.forgotten == []

    other = partitions.member(second, refill_ms=WINDOW_MS)
    await until(lambda: len(second.windows()) == 2 and set(second.windows().values()) == {100})
    await until(lambda: len(first.windows()) == 2)
    assert first.windows() | second.windows() == every
    moved = sorted(second.windows())
    assert sorted(first.forgotten) == [f"{partitions.topic}-{name[1:]}" for name in moved]
    assert second.forgotten == []

    await produce(partitions, 50)
    every = {f"s{n}": 150 for n in range(4)}
    await until(lambda: first.windows() | second.windows() == every)
    assert sorted(second.windows()) == moved

    await other.stop()
    await until(lambda: first.windows() == every)
    await produce(partitions, 10)
    every = {f"s{n}": 160 for n in range(4)}
    await until(lambda: first.windows() == every)
    # What stayed was fed once, live; what came back was refilled.
    assert len(first.numbers("kafka-refill")) == 2 * 150


async def test_a_rebalance_that_changes_nothing_drops_nothing(partitions: Bench) -> None:
    """A standby joins and leaves a topic of its own; the windows of the others stay full."""
    first = EngineSink()
    member = partitions.member(first, refill_ms=WINDOW_MS)
    await produce(partitions, 20)
    await until(lambda: len(first.numbers()) == 80)
    await until(lambda: partitions.committed_at(20))
    for _ in range(2):
        rebalances = member.metric("kafka_rebalances_total")
        standby = partitions.member(EngineSink(), refill_ms=WINDOW_MS)
        await until(lambda before=rebalances: member.metric("kafka_rebalances_total") > before)
        kept = set(first.windows())
        await standby.stop()
        await until(lambda: first.windows() == {f"s{n}": 20 for n in range(4)})
        assert len(kept) == 2
    # Half of them never left, so that half was never read again.
    assert len(first.numbers("kafka-refill")) == 2 * 2 * 20
    assert len(first.numbers()) == 80


async def test_offsets_that_are_set_back_drop_the_window_first(partitions: Bench) -> None:
    """What comes again must not stand beside what was there."""
    first = EngineSink()
    member = partitions.member(first, refill_ms=WINDOW_MS)
    await produce(partitions, 30)
    await until(lambda: first.windows() == {f"s{n}": 30 for n in range(4)})
    await until(lambda: partitions.committed_at(30))
    # As `kafka-consumer-groups --reset-offsets` does while nobody runs.
    session = member.source._session
    assert session is not None
    for progress in session._progress.values():
        progress.committed = progress.handled = 90
    session._failure = RuntimeError("injected")
    await until(lambda: len(first.forgotten) == 4)
    await until(lambda: first.windows() == {f"s{n}": 30 for n in range(4)})


class FactSink(RecordingSink):
    """A sink that compares the facts of its partitions, as the daemon's intake does."""

    def __init__(self) -> None:
        super().__init__()
        self.bank = DetectorBank()
        self.found: dict[str, float] = {}

    async def ingest(self, batch: Batch, *, source: str, origin: str = "") -> None:
        await super().ingest(batch, source=source, origin=origin)
        for sample in self.bank.take(batch.facts, now_ms=NOW * 1_000, origin=origin):
            self.found[dict(sample.labels)["service"]] = sample.value

    async def forget(self, origin: str) -> None:
        await super().forget(origin)
        self.bank.forget(origin)
        self.found.pop(f"s{origin[-1]}", None)


async def test_facts_move_with_their_partitions(partitions: Bench) -> None:
    """Records that hold nothing but facts arrive, and what was found in them is found again."""
    first, second = FactSink(), FactSink()
    partitions.member(first, refill_ms=WINDOW_MS)
    for partition in range(4):
        receipts = [
            {"event": "effect.receipt", "ts": NOW - 9 + n, "service": f"s{partition}",
             "key": "k", "effect_id": f"e-{n}"}
            for n in range(partition + 1)
        ]  # fmt: skip
        await partitions.produce(
            [json.dumps(each).encode() for each in receipts], partition=partition
        )
    every = {f"s{n}": n for n in range(4)}
    await until(lambda: first.found == every)

    other = partitions.member(second, refill_ms=WINDOW_MS)
    await until(lambda: len(second.found) == 2 and len(first.found) == 2)
    await until(lambda: first.found | second.found == every)
    await other.stop()
    await until(lambda: first.found == every)
