"""The watchdog against the time: what counts as silence of a broker, and what does not."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer

from rollbackd.clock import ManualClock
from rollbackd.settings import KafkaSettings, KafkaTopic
from rollbackd.sources.kafka.watchdog import StalledError, Watchdog


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000)


@pytest.fixture
def watchdog(clock: ManualClock) -> Watchdog:
    """Down after 10 s, looked at each second."""
    settings = KafkaSettings(
        bootstrap_servers=["127.0.0.1:9"],
        topics=[KafkaTopic(name="events")],
        stall_ms=30_000,
        session_timeout_ms=60_000,
    )
    return Watchdog(settings, clock)


@pytest.fixture
async def consumer() -> AsyncIterator[AIOKafkaConsumer]:
    """One without partitions, as a standby has it."""
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:9")
    yield consumer
    await consumer.stop()


async def look_for(
    seconds: int, watchdog: Watchdog, clock: ManualClock, consumer: AIOKafkaConsumer
) -> None:
    for _ in range(seconds):
        clock.advance(1_000)
        watchdog.polled()
        await watchdog.look(consumer, [])


async def test_silence_is_down_after_a_third_and_stalled_after_the_whole(
    watchdog: Watchdog, clock: ManualClock, consumer: AIOKafkaConsumer
) -> None:
    """The question is due after half of the time to `down`."""
    await look_for(5, watchdog, clock, consumer)
    assert not watchdog.question_due
    await look_for(1, watchdog, clock, consumer)
    assert watchdog.question_due
    assert watchdog.in_contact
    await look_for(4, watchdog, clock, consumer)
    assert not watchdog.in_contact
    await look_for(20, watchdog, clock, consumer)
    with pytest.raises(StalledError, match="no broker answers"):
        await look_for(1, watchdog, clock, consumer)


async def test_an_answer_ends_the_silence_at_once(
    watchdog: Watchdog, clock: ManualClock, consumer: AIOKafkaConsumer
) -> None:
    """Not at the next look."""
    await look_for(12, watchdog, clock, consumer)
    assert not watchdog.in_contact
    watchdog.answered()
    assert watchdog.in_contact


async def test_time_in_which_nobody_looked_is_not_silence(
    watchdog: Watchdog, clock: ManualClock, consumer: AIOKafkaConsumer
) -> None:
    """A daemon that was stopped for a minute has yet to read what the broker has answered."""
    await look_for(4, watchdog, clock, consumer)
    clock.advance(60_000)
    watchdog.polled()
    await watchdog.look(consumer, [])
    assert watchdog.in_contact
    await look_for(4, watchdog, clock, consumer)
    assert watchdog.in_contact
    await look_for(1, watchdog, clock, consumer)
    assert not watchdog.in_contact


async def test_a_poll_that_does_not_return_is_a_stall(
    watchdog: Watchdog, clock: ManualClock, consumer: AIOKafkaConsumer
) -> None:
    """It may wait for a rebalance, that is for a session to time out, and no longer."""
    clock.advance(90_000)
    await watchdog.look(consumer, [])
    clock.advance(1)
    with pytest.raises(StalledError, match="a poll has not returned"):
        await watchdog.look(consumer, [])
