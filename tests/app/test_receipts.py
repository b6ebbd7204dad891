"""Receipts on their way into the ledger."""

import pytest
from prometheus_client import CollectorRegistry

from rollbackd.app.receipts import ReceiptIntake
from rollbackd.clock import ManualClock
from rollbackd.errors import TemporaryError
from rollbackd.model.facts import (
    AnyFact,
    DedupeDecided,
    DedupeDecision,
    EffectReceipt,
    EffectStatus,
    ToolCalled,
)
from rollbackd.model.reconciliation import LedgerEntry, Retention
from rollbackd.telemetry import Telemetry
from tests.reconciliation.samples import NOW, SCOPE, entry
from tests.reconciliation.world import Ledger

KEEP = Retention(age_ms=1_000, keys=7)
RECEIPT = EffectReceipt(scope=SCOPE, time_ms=NOW, key="k1", effect_id="e1", action="charge")
OTHERS: list[AnyFact] = [
    ToolCalled(scope=SCOPE, time_ms=NOW, trace_id="t", tool="x", args_hash="h"),
    DedupeDecided(scope=SCOPE, time_ms=NOW, key="k1", decision=DedupeDecision.CONFLICT),
]


class Desk:
    def __init__(self) -> None:
        self.ledger = Ledger([])
        self.telemetry = Telemetry(CollectorRegistry())
        self.intake = ReceiptIntake(self.ledger, KEEP, ManualClock(NOW), self.telemetry)

    async def take(self, *facts: AnyFact) -> None:
        await self.intake.take(facts, source="kafka", origin="effects-0")

    def metric(self, name: str, **labels: str) -> float | None:
        return self.telemetry.registry.get_sample_value(f"rollbackd_{name}", labels)


async def test_receipts_go_to_the_ledger_and_nothing_else_does() -> None:
    desk = Desk()
    doubt = EffectReceipt(scope=SCOPE, time_ms=NOW, key="k2", status=EffectStatus.UNKNOWN)
    await desk.take(RECEIPT, *OTHERS, doubt)
    assert desk.ledger.entries == [entry(action="charge"), entry("k2", "", "unknown")]
    assert desk.ledger.put_with == [KEEP]
    assert desk.metric("receipts_total", status="sealed") == 1
    assert desk.metric("receipts_total", status="unknown") == 1


async def test_what_the_ledger_did_shows_in_metrics() -> None:
    """What was dropped, doubles, and how long a seal took: nothing vanishes silently."""
    desk = Desk()
    await desk.take(RECEIPT)
    assert desk.metric("receipts_dropped_total", cause="expired") == 2
    assert desk.metric("receipts_dropped_total", cause="surplus") == 3
    assert desk.metric("double_effects_total") == 1
    assert desk.metric("receipt_seal_seconds_sum") == 1.5


async def test_decisions_of_fences_are_counted_and_ask_nobody() -> None:
    desk = Desk()
    await desk.take(*OTHERS)
    assert desk.metric("dedupe_decisions_total", decision="conflict") == 1
    assert desk.ledger.put_with == []


async def test_a_ledger_that_is_down_keeps_the_source_waiting() -> None:
    """The receipt comes again; it is counted once it is durable."""
    desk = Desk()
    desk.ledger.failure = TemporaryError("down")
    with pytest.raises(TemporaryError):
        await desk.take(RECEIPT)
    assert desk.metric("receipts_total", status="sealed") is None


async def test_a_partition_that_is_lost_takes_no_receipt_along() -> None:
    desk = Desk()
    await desk.take(RECEIPT)
    await desk.intake.forget("effects-0")
    assert desk.ledger.entries == [LedgerEntry.of(RECEIPT)]
