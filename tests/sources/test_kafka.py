"""The Kafka source on a real broker: what it reads, when it commits, where it goes on."""

import asyncio
import json
import time
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.structs import TopicPartition

from rollbackd.model.events import Batch
from rollbackd.settings import KafkaTopic
from rollbackd.sources.kafka import source as kafka_source
from rollbackd.sources.kafka.session import Session
from tests.events.bodies import alert, notification
from tests.sources.conftest import Bench, RecordingSink, all_numbers, event, until

pytestmark = pytest.mark.services


async def test_everything_arrives_once_in_order_and_is_committed(wide_bench: Bench) -> None:
    """Each partition keeps its order; the offset at the broker is one past the last record."""
    for partition in range(4):
        await wide_bench.produce_numbers(range(partition, 4_000, 4), partition=partition)
    member = wide_bench.member()
    await until(lambda: len(member.sink.numbers()) >= 4_000)
    numbers = member.sink.numbers()
    assert sorted(numbers) == list(range(4_000))
    for partition in range(4):
        own = [n for n in numbers if n % 4 == partition]
        assert own == sorted(own)

    async def is_committed() -> bool:
        return [await wide_bench.committed(p) for p in range(4)] == [1_000] * 4

    await until(is_committed)
    assert member.metric("events_received_total", source="kafka") == 4_000
    await until(lambda: member.metric("kafka_up") == 1)
    assert member.metric("kafka_rebalances_total") == 1
    # One poll of many records is one ingest a partition.
    assert len(member.sink.batches) < 100


async def test_nothing_is_committed_before_it_is_handled(bench: Bench) -> None:
    """While the sink has not returned, the offset stays where it was."""
    sink = RecordingSink()
    member = bench.member(sink)
    await bench.produce_numbers(range(10))
    await until(lambda: bench.committed_at(10))
    sink.gate.clear()
    await bench.produce_numbers(range(10, 20))
    await until(lambda: member.metric("events_received_total", source="kafka") == 20)
    assert await bench.committed() == 10
    sink.gate.set()
    await until(lambda: bench.committed_at(20))
    assert sink.numbers() == list(range(20))


async def test_a_restart_goes_on_from_the_committed_offset(bench: Bench) -> None:
    first = bench.member()
    await bench.produce_numbers(range(100))
    await until(lambda: len(first.sink.numbers()) == 100)
    await first.stop()
    assert await bench.committed() == 100
    await bench.produce_numbers(range(100, 150))
    second = bench.member()
    await until(lambda: len(second.sink.numbers()) >= 50)
    assert second.sink.numbers() == list(range(100, 150))


async def test_refill_feeds_the_windows_and_neither_loses_nor_doubles(bench: Bench) -> None:
    """What was committed comes again as refill, what was not comes as live, each record once."""
    first = bench.member()
    await bench.produce_numbers(range(700))
    await until(lambda: bench.committed_at(700))
    await first.stop()
    await bench.produce_numbers(range(700, 900))
    second = bench.member(refill_ms=3_600_000)
    await until(lambda: len(second.sink.numbers()) >= 200)
    assert second.sink.numbers("kafka-refill") == list(range(700))
    assert second.sink.numbers() == list(range(700, 900))
    sources = [source for source, _ in second.sink.batches]
    assert sources == sorted(sources, reverse=True)
    await until(lambda: bench.committed_at(900))
    assert second.metric("events_received_total", source="kafka-refill") == 700


async def test_refill_reaches_back_one_window_only(exact_bench: Bench) -> None:
    """Records from before the window are not read again."""
    await exact_bench.produce_numbers(range(50))
    first = exact_bench.member()
    await until(lambda: exact_bench.committed_at(50))
    await first.stop()
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 1.0)
    await exact_bench.produce_numbers(range(50, 60))
    second = exact_bench.member(refill_ms=500)
    await until(lambda: len(second.sink.numbers()) >= 10)
    assert second.sink.numbers("kafka-refill") == []
    assert second.sink.numbers() == list(range(50, 60))


async def test_a_rebuilt_consumer_feeds_no_record_twice(
    exact_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sink still has what it was fed: a new consumer goes on where the feeding ended."""
    member = exact_bench.member(refill_ms=3_600_000)
    await exact_bench.produce_numbers(range(300))
    await until(lambda: len(member.sink.numbers()) == 300)
    polls = 0

    async def fail_once(session: Session) -> dict[TopicPartition, list[object]]:
        nonlocal polls
        polls += 1
        if polls == 1:
            raise RuntimeError("injected")
        return await genuine(session)  # type: ignore[return-value]

    genuine = Session._poll
    monkeypatch.setattr(Session, "_poll", fail_once)
    await until(lambda: member.metric("kafka_consumer_rebuilds_total", cause="unexpected") == 1)
    await exact_bench.produce_numbers(range(300, 400))
    await until(lambda: len(member.sink.numbers()) >= 400)
    assert member.sink.numbers() == list(range(400))
    assert member.sink.numbers("kafka-refill") == []


async def test_a_topic_that_brokers_do_not_show_for_a_moment_is_found_again(
    exact_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a pause of all brokers: the group's leader sees no topic, and gives out nothing."""
    member = exact_bench.member()
    await exact_bench.produce_numbers(range(100))
    await until(lambda: len(member.sink.numbers()) == 100)
    hidden = True
    genuine, poll = ClusterMetadata.update_metadata, Session._poll

    def update(metadata: ClusterMetadata, response: Any) -> None:
        if hidden:
            response.topics = [topic for topic in response.topics if topic[1] != exact_bench.topic]
        genuine(metadata, response)

    async def fail_once(_session: Session) -> dict[TopicPartition, list[object]]:
        monkeypatch.setattr(Session, "_poll", poll)
        raise RuntimeError("injected")

    monkeypatch.setattr(ClusterMetadata, "update_metadata", update)
    monkeypatch.setattr(Session, "_poll", fail_once)
    await until(lambda: member.metric("kafka_rebalances_total") == 2)
    hidden = False
    await exact_bench.produce_numbers(range(100, 150))
    await until(lambda: len(member.sink.numbers()) >= 150)
    assert member.sink.numbers() == list(range(150))
    assert member.sink.forgotten == []


async def test_a_full_sink_holds_the_partition_and_loses_nothing(bench: Bench) -> None:
    """The same batch is offered again, nothing is committed, polling goes on."""
    sink = RecordingSink()
    sink.full = True
    member = bench.member(sink, stall_ms=12_000)
    await bench.produce_numbers(range(3_000))
    await until(lambda: sink.refusals > 20)
    assert await bench.committed() in {None, 0}
    # One third of the stall time is 4 s: that long without a fetch only questions are answered.
    began, seen = time.monotonic(), set()

    def watched() -> bool:
        seen.add(member.source.healthy())
        return time.monotonic() - began > 5

    await until(watched)
    assert seen == {True}
    sink.full = False
    await until(lambda: len(sink.numbers()) >= 3_000)
    assert sink.numbers() == list(range(3_000))
    await until(lambda: bench.committed_at(3_000))
    assert member.metric("kafka_consumer_rebuilds_total", cause="stalled") == 0


async def test_a_full_sink_outlasts_the_stall_time(bench: Bench) -> None:
    """Back-pressure is not a stalled consumer: it is not rebuilt, and it stays in the group."""
    sink = RecordingSink()
    sink.full = True
    member = bench.member(sink, stall_ms=3_000)
    await bench.produce_numbers(range(2_000))
    await until(lambda: sink.refusals > 0)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 5)
    sink.full = False
    await until(lambda: len(sink.numbers()) >= 2_000)
    assert sink.numbers() == list(range(2_000))
    assert member.metric("kafka_rebalances_total") == 1


async def test_poison_goes_to_the_dead_letter_topic(bench: Bench) -> None:
    """With where it came from and why; the partition advances, and tombstones are only counted."""
    letters = f"{bench.topic}-dead"
    await bench.broker.create_topic(letters, 1)
    member = bench.member(dead_letter_topic=letters)
    await bench.produce([event(0), b"\xff\xfe", None, event(1), b'{"event":""}', event(2)])
    await until(lambda: bench.committed_at(6))
    assert member.sink.numbers() == [0, 1, 2]
    assert member.sink.buried == []
    first, second = await bench.read_topic(letters, 2)
    assert first.value == b"\xff\xfe"
    headers = dict(first.headers)
    assert headers["rollbackd-source-topic"] == bench.topic.encode()
    assert headers["rollbackd-source-partition"] == b"0"
    assert headers["rollbackd-source-offset"] == b"1"
    assert b"not JSON" in headers["rollbackd-reason"]
    assert b"`event` is missing" in dict(second.headers)["rollbackd-reason"]
    assert member.metric("dead_letters_total", source="kafka") == 2
    assert member.metric("decode_failures_total", source="kafka") == 2
    assert member.metric("samples_refused_total", reason="tombstone") == 1


async def test_poison_without_a_topic_is_buried_in_the_sink(bench: Bench) -> None:
    member = bench.member()
    await bench.produce([b"x", event(1)])
    await until(lambda: bench.committed_at(2))
    ((source, body, reason),) = member.sink.buried
    assert (source, body) == ("kafka", b"x")
    assert reason.startswith(f"{bench.topic}[0]@0: not JSON")
    assert member.sink.numbers() == [1]


async def test_poison_that_cannot_be_produced_is_buried_in_the_sink(exact_bench: Bench) -> None:
    """A dead-letter topic that does not exist holds nothing up."""
    member = exact_bench.member(dead_letter_topic=f"{exact_bench.topic}-missing")
    await exact_bench.produce([b"x", event(1)])
    await until(lambda: exact_bench.committed_at(2), within=30)
    assert len(member.sink.buried) == 1
    await exact_bench.produce([b"y"])
    await until(lambda: exact_bench.committed_at(3), within=3)
    assert len(member.sink.buried) == 2


async def test_poison_in_the_past_is_not_buried_again(exact_bench: Bench) -> None:
    first = exact_bench.member()
    await exact_bench.produce([event(0), b"x", event(1)])
    await until(lambda: exact_bench.committed_at(3))
    await first.stop()
    second = exact_bench.member(refill_ms=3_600_000)
    await until(lambda: second.sink.numbers("kafka-refill") == [0, 1])
    assert second.sink.buried == []
    assert second.metric("decode_failures_total", source="kafka") == 0


async def test_a_record_that_the_sink_fails_at_is_poison(exact_bench: Bench) -> None:
    """After bounded attempts the records are tried one by one and the guilty one is buried."""
    sink = RecordingSink()

    def fail(batch: Batch) -> Exception | None:
        return ZeroDivisionError("bug") if any(s.value == 7 for s in batch.samples) else None

    sink.failure = fail
    await exact_bench.produce_numbers(range(20))
    member = exact_bench.member(sink)
    await until(lambda: exact_bench.committed_at(20))
    assert sink.numbers() == [n for n in range(20) if n != 7]
    ((_, body, reason),) = sink.buried
    assert json.loads(body)["values"] == {"n": 7}
    assert "ZeroDivisionError: bug" in reason
    assert member.metric("kafka_consumer_rebuilds_total", cause="unexpected") == 2


async def test_alerts_come_through_and_truncation_is_counted(bench: Bench) -> None:
    member = bench.member(topics=[KafkaTopic(name=bench.topic, format="alertmanager")])
    await bench.produce([json.dumps(notification(alert(), truncatedAlerts=2)).encode(), event(1)])
    await until(lambda: bench.committed_at(2))
    ((_, batch),) = member.sink.batches
    assert [a.name for a in batch.alerts] == ["QualityDrift"]
    assert batch.alerts[0].truncated
    assert len(member.sink.buried) == 1
    assert member.metric("truncated_alerts_total") == 2


async def test_latest_begins_at_the_end_and_remembers_it(exact_bench: Bench) -> None:
    """The end is committed at once: what arrives while we are down is not skipped."""
    await exact_bench.produce_numbers(range(5))
    first = exact_bench.member(offset_reset="latest")
    await until(lambda: exact_bench.committed_at(5))
    await first.stop()
    assert first.sink.numbers() == []
    await exact_bench.produce_numbers(range(5, 8))
    second = exact_bench.member(offset_reset="latest")
    await until(lambda: len(second.sink.numbers()) >= 3)
    assert second.sink.numbers() == [5, 6, 7]


async def test_a_topic_that_is_made_later_is_read(bench: Bench) -> None:
    """A missing topic does not keep the others from being read."""
    member = bench.member(
        topics=[KafkaTopic(name=bench.topic), KafkaTopic(name=f"{bench.topic}-none")]
    )
    await bench.produce_numbers(range(3))
    await until(lambda: member.sink.numbers() == [0, 1, 2])


async def test_a_stop_in_the_middle_of_a_batch_ends_it_first(bench: Bench) -> None:
    """What the sink has in hand is finished and committed before the group is left."""
    sink = RecordingSink()
    member = bench.member(sink)
    await bench.produce_numbers(range(5))
    sink.gate.clear()
    await until(lambda: member.metric("events_received_total", source="kafka") == 5)
    stopping = asyncio.create_task(member.stop())
    await asyncio.sleep(0)
    sink.gate.set()
    await stopping
    assert sink.numbers() == list(range(5))
    assert await bench.committed() == 5


async def test_members_that_come_and_go_leave_no_record_unhandled(wide_bench: Bench) -> None:
    """A planned rebalance hands over after the batch in hand: nothing is lost, nothing doubled."""
    first = wide_bench.member()
    produced = 0

    async def produce(count: int) -> None:
        nonlocal produced
        for number in range(produced, produced + count):
            await wide_bench.produce_numbers([number], partition=number % 4)
        produced += count

    await produce(200)
    await until(lambda: len(first.sink.numbers()) >= 200)
    second = wide_bench.member()
    await produce(200)
    await until(lambda: second.metric("kafka_rebalances_total") >= 1)
    await produce(400)
    members = [first, second]
    await until(lambda: len(all_numbers(members)) >= produced)
    assert second.sink.numbers()
    await first.stop()
    await produce(200)
    await until(lambda: len(all_numbers(members)) >= produced)
    assert sorted(all_numbers(members)) == list(range(produced))


async def test_a_standby_takes_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member without a partition that idled longer than the poll interval can still rejoin."""
    monkeypatch.setattr("rollbackd.sources.kafka.connection.MAX_POLL_INTERVAL_MS", 1_500)
    members = [bench.member(stall_ms=6_000)]
    await until(lambda: members[0].source.healthy() and members[0].metric("kafka_rebalances_total"))
    members.append(bench.member(stall_ms=6_000))
    await bench.produce_numbers(range(10))
    await until(lambda: len(all_numbers(members)) == 10)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 3)
    owner = max(members, key=lambda m: len(m.sink.numbers()))
    standby = next(m for m in members if m is not owner)
    await until(standby.source.healthy)
    await owner.stop()
    await bench.produce_numbers(range(10, 20))
    await until(lambda: len(all_numbers(members)) >= 20)
    assert all_numbers([owner, standby]) == list(range(20))


async def test_a_member_is_behind_while_many_records_wait(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched and not yet taken counts, and so does what is still at the broker."""
    monkeypatch.setattr(kafka_source, "_FAR_BEHIND", 50)
    sink = RecordingSink()
    sink.full = True
    await bench.produce_numbers(range(51))
    member = bench.member(sink)
    assert not member.source.behind()
    await until(lambda: sink.refusals)
    await until(member.source.behind)
    sink.full = False
    await until(lambda: len(sink.numbers()) == 51)
    await until(lambda: not member.source.behind())
    await bench.produce_numbers(range(51, 60))
    await until(lambda: len(sink.numbers()) == 60)
    assert not member.source.behind()
