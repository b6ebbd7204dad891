"""Alerts of our own in real Alertmanagers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from rollbackd.clock import ManualClock
from rollbackd.model.decisions import Reason
from rollbackd.model.history import Latch
from rollbackd.model.incidents import State
from rollbackd.notifications.alertmanager import AlertmanagerNotifier
from rollbackd.notifications.links import Links, rfc3339
from rollbackd.ports import Pause
from rollbackd.settings import AlertmanagerSettings, ReceiverSettings
from rollbackd.stores.sqlite import SQLiteStore
from rollbackd.telemetry import Telemetry
from tests.notifications.conftest import Spawn
from tests.notifications.receiver import Receiver, counted, passing
from tests.notifications.samples import SCOPE, TO_A_PERSON, TO_THE_END, Story, frozen
from tests.services.alertmanager import Alertmanager
from tests.services.fixtures import AlertmanagerFactory
from tests.services.polling import eventually
from tests.services.processes import HOST, free_port

RESEND = 30_000

#: Makes a notifier for these addresses and lets it send.
Start = Callable[..., AlertmanagerNotifier]


@pytest.fixture
def start(store: SQLiteStore, clock: ManualClock, telemetry: Telemetry, spawn: Spawn) -> Start:
    """Starts a notifier on the test's store."""

    def begin(*urls: str, **changes: Any) -> AlertmanagerNotifier:
        notifier = AlertmanagerNotifier(
            AlertmanagerSettings(urls=list(urls), resend_ms=RESEND, **changes),
            Links(public_url="https://r.example"),
            store=store,
            pause=lambda: begin.pause,  # type: ignore[attr-defined]
            clock=clock,
            telemetry=telemetry,
        )
        begin.task = spawn(notifier.run())  # type: ignore[attr-defined]
        return notifier

    begin.pause = None  # type: ignore[attr-defined]
    return begin


@pytest.fixture
async def alertmanager(
    alertmanager_factory: AlertmanagerFactory,
) -> AsyncIterator[Alertmanager]:
    """One that notifies nobody of interest."""
    async with alertmanager_factory(f"http://{HOST}:{free_port()}/") as started:
        yield started


async def firing(server: Alertmanager) -> dict[str, Any]:
    """What an instance holds to be firing, by name."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/api/v2/alerts") as response,
    ):
        return {alert["labels"]["alertname"]: alert for alert in await response.json()}


async def until_firing(server: Alertmanager, *names: str) -> dict[str, Any]:
    """The alerts, once these fire there and no others."""

    async def there() -> bool:
        return set(await firing(server)) == set(names)

    await eventually(there, within_seconds=20)
    return await firing(server)


@pytest.mark.services
async def test_an_alert_is_there_is_sent_again_and_is_resolved(
    start: Start, store: SQLiteStore, clock: ManualClock, alertmanager: Alertmanager
) -> None:
    notifier = start(alertmanager.url)
    story = Story(store, notifier)
    await story.open(now_ms=clock.now())
    await story.go(*TO_A_PERSON)
    there = await until_firing(alertmanager, "RollbackdIncidentOpen", "RollbackdNeedsHuman")
    alert = there["RollbackdNeedsHuman"]
    assert alert["labels"]["service"] == "rag"
    assert alert["annotations"]["incident_url"] == "https://r.example/api/v1/incidents/INC-1"

    clock.advance(RESEND)

    async def sent_again() -> bool:
        now = (await firing(alertmanager))["RollbackdNeedsHuman"]
        return bool(now["endsAt"] > alert["endsAt"])

    await eventually(sent_again, within_seconds=20)
    await story.go(*TO_THE_END)
    await until_firing(alertmanager)


@pytest.mark.services
async def test_an_instance_that_is_down_keeps_nothing_from_the_other(
    start: Start,
    store: SQLiteStore,
    clock: ManualClock,
    alertmanager: Alertmanager,
    alertmanager_factory: AlertmanagerFactory,
    telemetry: Telemetry,
) -> None:
    """And gets what stands as soon as it is back."""
    other = alertmanager_factory(f"http://{HOST}:{free_port()}/")
    notifier = start(other.url, alertmanager.url)
    story = Story(store, notifier)
    await story.open(now_ms=clock.now())
    await story.go(*TO_A_PERSON)
    await until_firing(alertmanager, "RollbackdIncidentOpen", "RollbackdNeedsHuman")
    await passing(lambda: counted(telemetry, f"alertmanager {other.address}", "failed") > 0)
    async with other:
        await passing(
            lambda: counted(telemetry, f"alertmanager {other.address}", "sent") > 0, clock
        )
        await until_firing(other, "RollbackdIncidentOpen", "RollbackdNeedsHuman")


@pytest.mark.services
async def test_a_restart_changes_nothing(
    start: Start, store: SQLiteStore, clock: ManualClock, alertmanager: Alertmanager
) -> None:
    """The alerts follow from the stored incidents; one that has ended meanwhile is resolved."""
    story = Story(store, start(alertmanager.url))
    await story.open(now_ms=clock.now())
    await story.go(*TO_A_PERSON)
    await until_firing(alertmanager, "RollbackdIncidentOpen", "RollbackdNeedsHuman")
    start.task.cancel()  # type: ignore[attr-defined]
    story.listeners = ()
    await story.go(*TO_THE_END)
    start.pause = Pause(  # type: ignore[attr-defined]
        reason="migration", by="eve", since_ms=clock.now()
    )
    start(alertmanager.url)
    await until_firing(alertmanager, "RollbackdPaused")


async def test_an_incident_that_another_replica_ended_is_not_raised_again(
    start: Start, store: SQLiteStore, clock: ManualClock, receiver: Receiver
) -> None:
    story = Story(store, start(receiver.url))
    await story.open(now_ms=clock.now())
    await receiver.got(1)
    story.listeners = ()
    await story.go(*TO_A_PERSON, *TO_THE_END)
    sent = len(receiver.requests)
    clock.advance(RESEND)
    request = (await receiver.got(sent + 1))[sent]
    (alert,) = request.json
    assert alert["labels"]["alertname"] == "RollbackdIncidentOpen"
    assert alert["endsAt"] == rfc3339(clock.now())


async def test_a_hanging_instance_delays_nobody_and_gets_the_newest(
    start: Start, store: SQLiteStore, clock: ManualClock, receiver: Receiver
) -> None:
    async with Receiver() as slow:
        slow.answers = ["hang"]
        settings = ReceiverSettings(timeout_ms=1_000)
        story = Story(store, start(slow.url, receiver.url, receiver=settings))
        await story.open(now_ms=clock.now())
        await slow.got(1)
        await story.go(*TO_A_PERSON)
        await receiver.got(2)
        assert len(slow.requests) == 1
        newest = (await slow.got(2, clock))[1]
        assert {a["labels"]["alertname"] for a in newest.json} == {
            "RollbackdIncidentOpen",
            "RollbackdNeedsHuman",
        }


async def test_what_is_refused_is_offered_again_only_with_the_next_round(
    start: Start, store: SQLiteStore, clock: ManualClock, receiver: Receiver, telemetry: Telemetry
) -> None:
    receiver.answers = [400]
    story = Story(store, start(receiver.url))
    await story.open(now_ms=clock.now())
    name = f"alertmanager {HOST}:{receiver.port}"
    await passing(lambda: counted(telemetry, name, "refused") == 1)
    clock.advance(RESEND)
    await passing(lambda: counted(telemetry, name, "sent") == 1)
    first, second = receiver.requests
    assert first.json[0]["endsAt"] < second.json[0]["endsAt"]


async def test_alerts_go_on_while_the_store_is_down(
    start: Start,
    store: SQLiteStore,
    clock: ManualClock,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = Story(store, start(receiver.url))
    await story.open(now_ms=clock.now())
    await receiver.got(1)

    async def down(**_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(store, "incidents", down)
    await story.go(*TO_A_PERSON)
    second = (await receiver.got(2))[1]
    assert "RollbackdNeedsHuman" in {a["labels"]["alertname"] for a in second.json}


async def test_a_page_that_no_incident_shows_is_an_alert_for_a_while(
    start: Start, store: SQLiteStore, clock: ManualClock, receiver: Receiver
) -> None:
    notifier = start(receiver.url)
    story = Story(store, notifier)
    await story.open(now_ms=clock.now())
    await receiver.got(1)
    await notifier.page(story.incident, "the post-mortem was not written")
    second = (await receiver.got(2))[1]
    alerts = {a["labels"]["alertname"]: a for a in second.json}
    assert set(alerts) == {"RollbackdIncidentOpen", "RollbackdTrouble"}
    assert alerts["RollbackdTrouble"]["annotations"]["reason"] == "the post-mortem was not written"

    def resolved() -> bool:
        ends = [
            a["endsAt"]
            for a in receiver.requests[-1].json
            if a["labels"]["alertname"] == "RollbackdTrouble"
        ]
        return bool(ends) and ends[0] <= rfc3339(clock.now())

    assert not resolved()
    clock.advance(15 * 60_000)
    await passing(resolved)


async def test_a_latch_is_alerted_about_as_soon_as_it_is_paged_for(
    start: Start, store: SQLiteStore, clock: ManualClock, receiver: Receiver
) -> None:
    notifier = start(receiver.url)
    story = Story(store, notifier)
    await story.open(now_ms=clock.now())
    await receiver.got(1)
    latch = Latch(scope=SCOPE, branch="", reason=Reason.INEFFECTIVE_CHAIN, since_ms=clock.now())
    await store.put_latch(latch)
    await notifier.page(story.incident, latch.reason)
    await receiver.got(2)
    assert _names(receiver) == {"RollbackdIncidentOpen", "RollbackdLatched"}


async def test_an_alert_whose_time_comes_needs_no_event(
    start: Start, store: SQLiteStore, clock: ManualClock, receiver: Receiver
) -> None:
    """A measure becomes overdue by time alone."""
    story = Story(store, start(receiver.url))
    await story.open(now_ms=clock.now())
    await story.go(State.CAPTURING, ledger=[frozen(clock.now() + 8_000)])
    await receiver.got(1)
    await passing(lambda: "RollbackdMeasureOverdue" in _names(receiver), clock)


def _names(receiver: Receiver) -> set[str]:
    return {a["labels"]["alertname"] for a in receiver.requests[-1].json}


async def test_nothing_is_posted_while_nothing_stands(
    start: Start, store: SQLiteStore, clock: ManualClock, receiver: Receiver
) -> None:
    notifier = start(receiver.url)
    for _ in range(3):
        clock.advance(RESEND)
        await asyncio.sleep(0)
    story = Story(store, notifier)
    await story.open(now_ms=clock.now())
    (first, *_) = await receiver.got(1)
    assert len(first.json) == 1
