"""A notifier that fails reaches neither the incident nor the others."""

import asyncio

import pytest

from rollbackd.clock import ManualClock
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.notifications.fanout import FanOut
from tests.notifications.conftest import Spawn
from tests.notifications.receiver import passing
from tests.notifications.samples import incident_in, record_of


class Broken:
    """Fails at everything."""

    def __init__(self) -> None:
        self.runs = 0

    async def page(self, incident: Incident, reason: str) -> None:
        raise ValueError(incident.id + reason)

    def decided(self, incident: Incident, record: JournalRecord) -> None:
        raise ValueError(incident.id + record.kind)

    async def run(self) -> None:
        self.runs += 1
        raise ValueError("a defect")


class Listening:
    """Remembers."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.running = asyncio.Event()

    async def page(self, incident: Incident, reason: str) -> None:  # noqa: ARG002
        self.heard.append(reason)

    def decided(self, incident: Incident, record: JournalRecord) -> None:  # noqa: ARG002
        self.heard.append(record.kind)

    async def run(self) -> None:
        self.running.set()
        await asyncio.Event().wait()


async def test_the_others_hear_of_it(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    last = Listening()
    fanout = FanOut([Broken()], [Broken(), last], clock)
    await fanout.page(incident_in(), "help")
    fanout.decided(incident_in(), record_of(incident_in()))
    assert last.heard == ["help", "Opened"]
    assert len([r for r in caplog.records if r.getMessage() == "a notifier failed"]) == 4


async def test_a_sender_that_dies_is_started_again(clock: ManualClock, spawn: Spawn) -> None:
    broken, working = Broken(), Listening()
    task = spawn(FanOut([], [broken, working], clock).run())
    await passing(lambda: broken.runs == 3, clock)
    assert working.running.is_set()
    assert not task.done()
