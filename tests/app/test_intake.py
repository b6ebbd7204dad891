"""What is taken in, on a real store."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from rollbackd.app.intake import Intake
from rollbackd.clock import ManualClock
from rollbackd.connections.sqlite import Database
from rollbackd.errors import TemporaryError
from rollbackd.evidence.pins import PinsTable
from rollbackd.model.events import Alert, AlertStatus, Batch, KnownGood
from rollbackd.model.facts import ChangeEvent, ChangeKind
from rollbackd.model.labels import Scope
from rollbackd.notifications.standing import identities_of
from rollbackd.stores.sqlite import SQLiteStore
from rollbackd.telemetry import Telemetry
from tests.incidents.samples import NOW, opened


class Desk:
    """An intake whose engine only notes the alerts that it is given."""

    def __init__(self, store: SQLiteStore) -> None:
        self.alerts: list[str] = []
        self.store = store
        self.telemetry = Telemetry(CollectorRegistry())
        self.intake = Intake(
            engine=lambda: cast("Any", self),
            store=store,
            pins=PinsTable(self.telemetry),
            clock=ManualClock(NOW),
            telemetry=self.telemetry,
        )

    def set_alert(self, alert: Alert, *, seen_at_ms: int) -> None:  # noqa: ARG002
        self.alerts.append(alert.labels["alertname"])


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = await SQLiteStore.open(await Database.open(tmp_path / "rollbackd.db"))
    yield Desk(store)
    await store.close()


def alert(**labels: str) -> Alert:
    return Alert(
        fingerprint=labels["alertname"],
        status=AlertStatus.FIRING,
        starts_at_ms=NOW,
        labels=labels,
    )


async def test_our_own_alerts_lead_to_nothing(desk: Desk) -> None:
    """An Alertmanager whose default receiver we are sends them back; the others are kept."""
    ours = [alert(**dict(labels)) for labels in identities_of(opened())]
    assert len(ours) > 3
    assert await desk.intake.accept_alerts([*ours, alert(alertname="SlowAnswers")]) == 1
    await desk.intake.take_inbox()
    assert desk.alerts == ["SlowAnswers"]
    dropped = desk.telemetry.registry.get_sample_value("rollbackd_own_alerts_dropped_total")
    assert dropped == len(ours)


@pytest.mark.parametrize(("source", "kept"), [("kafka", 1), ("http", 1), ("kafka-refill", 0)])
async def test_a_set_that_is_read_again_is_no_new_one(desk: Desk, source: str, kept: int) -> None:
    """An event without a time would come back as one of now, and undo that it was retired."""
    known_good = KnownGood(scope=Scope("rag"), pins={"PROMPT_VER": "p-1"}, recorded_at_ms=NOW)
    await desk.intake.ingest(Batch(known_good=[known_good]), source=source)
    assert len(await desk.store.known_good_sets()) == kept


@pytest.mark.parametrize(("source", "kept"), [("kafka", 1), ("http", 1), ("kafka-refill", 0)])
async def test_a_change_is_durable_when_it_was_taken(desk: Desk, source: str, kept: int) -> None:
    """One that is read again is in the store already, and only noted."""
    swap = ChangeEvent(scope=Scope("rag"), kind=ChangeKind.INDEX, subject="docs", time_ms=NOW)
    await desk.intake.ingest(Batch(changes=[swap]), source=source)
    assert len(await desk.store.changes()) == kept
    assert desk.intake.changes.newest(swap.scope, swap.kind) == swap


async def test_a_change_that_cannot_be_stored_is_not_taken(desk: Desk) -> None:
    """Its sender hears of it, and says it again."""
    swap = ChangeEvent(scope=Scope("rag"), kind=ChangeKind.INDEX, subject="docs", time_ms=NOW)
    await desk.store.close()
    with pytest.raises(TemporaryError):
        await desk.intake.ingest(Batch(changes=[swap]), source="http")
    assert desk.intake.changes.newest(swap.scope, swap.kind) is None
