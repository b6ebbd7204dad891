"""Receipts of effects on their way into the ledger, and what they are compared with."""

from collections.abc import Sequence
from typing import Self

from rollbackd.app.backends import Backends
from rollbackd.clock import Clock
from rollbackd.model.facts import AnyFact, DedupeDecided, EffectReceipt
from rollbackd.model.reconciliation import LedgerEntry, Retention
from rollbackd.ports import ReceiptLedger
from rollbackd.reconciliation.guard_effects import GuardEffects
from rollbackd.reconciliation.reconciler import LedgerReconciler
from rollbackd.settings import Settings
from rollbackd.telemetry import Telemetry


class ReceiptIntake:
    """Implements `ports.FactSink`: a receipt is durable before its source goes on.

    It may come again, and in any order; the ledger merges what is said of one effect. What a
    partition brought stays when the partition is lost: it happened.
    """

    def __init__(
        self, ledger: ReceiptLedger, retention: Retention, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._ledger = ledger
        self._retention = retention
        self._clock = clock
        self._telemetry = telemetry

    @classmethod
    def of(cls, settings: Settings, backends: Backends, clock: Clock, telemetry: Telemetry) -> Self:
        """As the settings say."""
        keep = settings.reconciliation.keep
        retention = Retention(age_ms=keep.age, keys=keep.keys)
        return cls(backends.receipts, retention, clock, telemetry)

    async def take(self, facts: Sequence[AnyFact], *, source: str, origin: str) -> None:  # noqa: ARG002  # of every source alike
        """See `ports.FactSink`."""
        telemetry = self._telemetry
        for fact in facts:
            if isinstance(fact, DedupeDecided):
                telemetry.dedupe_decisions.labels(fact.decision).inc()
        receipts = [fact for fact in facts if isinstance(fact, EffectReceipt)]
        if not receipts:
            return
        change = await self._ledger.put(
            [LedgerEntry.of(receipt) for receipt in receipts],
            retention=self._retention,
            now_ms=self._clock.now(),
        )
        for receipt in receipts:
            telemetry.receipts.labels(receipt.status).inc()
        telemetry.receipts_dropped.labels("expired").inc(change.expired)
        telemetry.receipts_dropped.labels("surplus").inc(change.surplus)
        telemetry.double_effects.inc(change.doubled)
        for after_ms in change.sealed_after_ms:
            telemetry.receipt_seal_duration.observe(after_ms / 1_000)

    async def forget(self, origin: str) -> None:
        """See `ports.FactSink`: nothing of the ledger belongs to a partition."""


def build_reconciler(
    settings: Settings, backends: Backends, clock: Clock, telemetry: Telemetry
) -> LedgerReconciler:
    """What compares the receipts; guards are asked where the controls are in Redis."""
    redis = backends.controls_redis
    return LedgerReconciler(
        settings.reconciliation,
        ledger=backends.receipts,
        open_effects=GuardEffects(redis) if redis is not None else None,
        clock=clock,
        telemetry=telemetry,
    )
