"""Every journal record becomes an event on Kafka, in order, also across a crash."""

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from rollbackd.clock import ManualClock
from rollbackd.connections.kafka import Producer, new_producer
from rollbackd.model.incidents import State
from rollbackd.model.labels import Scope
from rollbackd.notifications.cursor import Cursor
from rollbackd.notifications.decisions import DecisionPublisher
from rollbackd.notifications.links import Links
from rollbackd.settings import CloudEventsSettings, ContentMode, KafkaSettings
from rollbackd.stores.sqlite import SQLiteStore
from rollbackd.telemetry import Telemetry
from tests.notifications.conftest import Spawn
from tests.notifications.receiver import counted, passing
from tests.notifications.samples import TO_A_PERSON, TO_THE_END, Story
from tests.services.kafka import Broker
from tests.services.processes import HOST, free_port

pytestmark = pytest.mark.services
WHOLE = list(range(1, 8))


class Bench:
    """A topic, and publishers that come and go as processes do."""

    def __init__(
        self,
        topic: str,
        address: str,
        store: SQLiteStore,
        file: Path,
        clock: ManualClock,
        telemetry: Telemetry,
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        self.topic = topic
        self.address = address
        self.store = store
        self.file = file
        self.clock = clock
        self.telemetry = telemetry
        self.spawn = spawn
        self.task: asyncio.Task[None] | None = None

    @property
    def notifier(self) -> str:
        return f"kafka {self.topic}"

    def start(
        self, *, connect: Callable[[], Producer] | None = None, mode: str = "binary"
    ) -> DecisionPublisher:
        kafka = KafkaSettings(bootstrap_servers=[self.address], topics=[])
        publisher = DecisionPublisher(
            CloudEventsSettings(topic=self.topic, mode=ContentMode(mode)),
            Links(),
            connect=connect or (lambda: new_producer(kafka)),
            store=self.store,
            cursor=Cursor(self.file),
            clock=self.clock,
            telemetry=self.telemetry,
        )
        self.task = self.spawn(publisher.run())
        return publisher

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait({self.task})

    async def sent(self, number: int) -> None:
        """Return when the broker has acknowledged so many, and the file says so."""
        await passing(lambda: counted(self.telemetry, self.notifier, "sent") >= number, self.clock)

    def noted(self) -> dict[str, int]:
        """What the file holds."""
        try:
            published: dict[str, int] = json.loads(self.file.read_text())["published"]
        except (OSError, ValueError, KeyError):
            return {}
        return published

    async def until_noted(self, incident_id: str, sequence: int) -> None:
        await passing(lambda: self.noted().get(incident_id) == sequence, self.clock)

    async def records(self) -> list[Any]:
        """What is in the topic, each partition in order."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = [TopicPartition(self.topic, n) for n in (0, 1)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            found: list[Any] = []
            async with asyncio.timeout(20):
                while len(found) < sum(ends.values()):
                    for batch in (await consumer.getmany(timeout_ms=100)).values():
                        found += batch
            return found
        finally:
            await consumer.stop()

    async def sequences(self, incident_id: str = "INC-1") -> list[int]:
        """The sequence numbers of an incident's events, as they stand in the topic."""
        values = [json.loads(record.value) for record in await self.records()]
        return [v["sequence"] for v in values if v["incident"] == incident_id]


@pytest.fixture
async def bench(
    kafka: Broker,
    store: SQLiteStore,
    tmp_path: Path,
    clock: ManualClock,
    telemetry: Telemetry,
    spawn: Spawn,
) -> Bench:
    """A topic of two partitions, and nobody who publishes."""
    topic = f"decisions-{uuid.uuid4().hex[:12]}"
    await kafka.create_topic(topic, 2)
    file = tmp_path / "state" / "published.json"
    return Bench(topic, kafka.address, store, file, clock, telemetry, spawn)


async def test_every_record_is_an_event_in_order_and_keyed_by_scope(bench: Bench) -> None:
    publisher = bench.start()
    stories = [Story(bench.store, publisher) for _ in range(3)]
    for number, story in enumerate(stories):
        await story.open(id_=f"INC-{number}", scope=Scope("rag", f"eu-{number}"))
    for state in (*TO_A_PERSON, *TO_THE_END):
        for story in stories:
            await story.go(state)
    await bench.sent(21)
    for number in range(3):
        assert await bench.sequences(f"INC-{number}") == WHOLE
    for record in await bench.records():
        headers = dict(record.headers)
        assert headers["ce_specversion"] == b"1.0"
        assert record.key == headers["ce_subject"]
        incident = json.loads(record.value)["incident"]
        assert headers["ce_id"].decode().startswith(f"{incident}/")


async def test_structured_mode_on_the_wire(bench: Bench) -> None:
    story = Story(bench.store, bench.start(mode="structured"))
    await story.open()
    await bench.sent(1)
    (record,) = await bench.records()
    assert dict(record.headers)["content-type"].startswith(b"application/cloudevents+json")
    assert json.loads(record.value)["data"]["event"] == "Opened"


async def test_what_was_not_sent_when_the_process_died_is_sent_after_the_restart(
    bench: Bench,
) -> None:
    """Once, where the file had been written; the ended incident, too."""
    story = Story(bench.store, bench.start())
    await story.open(now_ms=bench.clock.now())
    await bench.until_noted("INC-1", 1)
    await bench.stop()
    story.listeners = ()
    await story.go(*TO_A_PERSON, *TO_THE_END)
    bench.start()
    await bench.until_noted("INC-1", 7)
    assert await bench.sequences() == WHOLE


async def test_an_incident_that_came_and_went_while_nobody_published_is_not_forgotten(
    bench: Bench,
) -> None:
    first = Story(bench.store, bench.start())
    await first.open(now_ms=bench.clock.now())
    await bench.until_noted("INC-1", 1)
    await bench.stop()
    bench.clock.advance(10_000)
    second = Story(bench.store)
    await second.open(id_="INC-2", scope=Scope("other"), now_ms=bench.clock.now())
    await second.go(*TO_A_PERSON, *TO_THE_END)
    bench.start()
    await bench.until_noted("INC-2", 7)
    assert await bench.sequences("INC-2") == WHOLE
    assert await bench.sequences("INC-1") == [1]


@pytest.mark.parametrize("content", [None, b"", b"not json", b'{"version": "x"}'])
async def test_without_its_file_it_repeats_and_loses_nothing(
    bench: Bench, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story(bench.store, bench.start())
    await story.open(now_ms=bench.clock.now())
    await bench.until_noted("INC-1", 1)
    await bench.stop()
    bench.file.unlink()
    if content is not None:
        bench.file.write_bytes(content)
    story.listeners = ()
    await story.go(State.CAPTURING)
    bench.start()
    await bench.until_noted("INC-1", 2)
    assert await bench.sequences() == [1, 1, 2]
    assert ("unusable" in caplog.text) == (content is not None)


async def test_a_broker_that_is_away_is_waited_for(bench: Bench, kafka: Broker) -> None:
    """Nothing is dropped, and `decided` returns at once."""
    settings = KafkaSettings(bootstrap_servers=[f"{HOST}:{free_port()}"], topics=[])
    there = KafkaSettings(bootstrap_servers=[kafka.address], topics=[])
    away = True
    publisher = bench.start(connect=lambda: new_producer(settings if away else there))
    story = Story(bench.store, publisher)
    await story.open(now_ms=bench.clock.now())
    await passing(lambda: counted(bench.telemetry, bench.notifier, "failed") > 0, bench.clock)
    await story.go(*TO_A_PERSON)
    waiting = bench.telemetry.registry.get_sample_value(
        "rollbackd_notifications_waiting", {"notifier": bench.notifier}
    )
    assert waiting == 1
    away = False
    await bench.until_noted("INC-1", 4)
    assert await bench.sequences() == [1, 2, 3, 4]


async def test_more_incidents_than_may_wait_are_found_in_the_store(
    bench: Bench,
    kafka: Broker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("rollbackd.notifications.decisions._MAX_BEHIND", 2)
    gone = KafkaSettings(bootstrap_servers=[f"{HOST}:{free_port()}"], topics=[])
    there = KafkaSettings(bootstrap_servers=[kafka.address], topics=[])
    away = True
    publisher = bench.start(connect=lambda: new_producer(gone if away else there))
    stories = [Story(bench.store, publisher) for _ in range(4)]
    for number, story in enumerate(stories):
        await story.open(
            id_=f"INC-{number}", scope=Scope("rag", f"eu-{number}"), now_ms=bench.clock.now()
        )
    assert counted(bench.telemetry, bench.notifier, "dropped") > 0
    assert "too many incidents wait" in caplog.text
    away = False
    for number in range(4):
        await bench.until_noted(f"INC-{number}", 1)


class Lossy:
    """A producer whose acknowledgements get lost now and then, with the record at the broker."""

    def __init__(self, inner: Producer, losses: list[bool]) -> None:
        self._inner = inner
        self._losses = losses

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    async def send(self, topic: str, value: bytes | None, **more: Any) -> Any:
        sent = await self._inner.send(topic, value, **more)
        if self._losses and self._losses.pop(0):
            await sent
            raise ConnectionResetError
        return sent


async def test_a_lost_acknowledgement_repeats_an_event_and_breaks_no_order(
    bench: Bench, kafka: Broker
) -> None:
    settings = KafkaSettings(bootstrap_servers=[kafka.address], topics=[])
    losses = [False, True, False, False, True]
    story = Story(bench.store, bench.start(connect=lambda: Lossy(new_producer(settings), losses)))
    await story.open(now_ms=bench.clock.now())
    await story.go(*TO_A_PERSON, *TO_THE_END)
    await bench.until_noted("INC-1", 7)
    found = await bench.sequences()
    assert sorted(set(found)) == WHOLE
    assert found == sorted(found)
    assert len(found) == 9


async def test_a_decision_too_large_for_kafka_loses_its_detail_and_nothing_else(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    story = Story(bench.store, bench.start())
    await story.open(now_ms=bench.clock.now())
    await story.go(State.CAPTURING, detail={"windows": "x" * (2 << 20)})
    await story.go(State.FREEZING)
    await bench.until_noted("INC-1", 3)
    values = [json.loads(record.value) for record in await bench.records()]
    assert [v.get("detail_omitted", False) for v in values] == [False, True, False]
    assert "too large" in caplog.text


async def test_a_file_that_cannot_be_written_stops_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    bench.file.parent.parent.joinpath("state").write_text("a file where the folder should be")
    story = Story(bench.store, bench.start())
    await story.open()
    await story.go(*TO_A_PERSON)
    await bench.sent(4)
    await passing(lambda: "was not noted down" in caplog.text, bench.clock)
