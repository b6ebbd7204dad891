"""A reconciler on a ledger in memory, with a listing and a clock that tests move."""

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry

from rollbackd.clock import ManualClock
from rollbackd.errors import RollbackdError
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import (
    DownstreamEffect,
    DownstreamPage,
    LedgerChange,
    LedgerEntry,
    LedgerPage,
    Retention,
)
from rollbackd.reconciliation.reconciler import LedgerReconciler
from rollbackd.settings.reconciliation import ListingSettings, ReconciliationSettings
from rollbackd.telemetry import Telemetry
from tests.reconciliation.samples import NOW

#: One listing for every service; what is older than half a second has settled.
SETTINGS = ReconciliationSettings(
    listings=[ListingSettings(name="bank", services=["rag", "pay*"], file=Path("none.json"))],
    lookback=60_000,
    settle=500,
    timeout=10_000,
)


def telemetry() -> Telemetry:
    """Metrics of one test."""
    return Telemetry(CollectorRegistry())


class Ledger:
    """Implements `ports.ReceiptLedger`: entries that a test lays there."""

    def __init__(self, entries: Sequence[LedgerEntry]) -> None:
        self.entries = list(entries)
        self.dropped_until_ms: int | None = None
        self.put_with: list[Retention] = []
        self.failure: RollbackdError | None = None

    async def put(
        self,
        entries: Sequence[LedgerEntry],
        *,
        retention: Retention,
        now_ms: int,  # noqa: ARG002
    ) -> LedgerChange:
        if self.failure is not None:
            raise self.failure
        self.entries += entries
        self.put_with.append(retention)
        return LedgerChange(changed=1, expired=2, surplus=3, doubled=1, sealed_after_ms=[1_500])

    async def page(self, scope: Scope, from_ms: int, to_ms: int) -> LedgerPage:
        inside = [
            e for e in self.entries
            if e.scope == scope and e.last_ms >= from_ms and e.first_ms <= to_ms
        ]  # fmt: skip
        return LedgerPage(entries=inside, dropped_until_ms=self.dropped_until_ms)

    async def of_keys(self, scope: Scope, keys: Sequence[str]) -> list[LedgerEntry]:
        return [e for e in self.entries if e.scope == scope and e.key in keys]


class Bank:
    """Implements `ports.Listing`: `failures` come first, one a question."""

    def __init__(self, effects: Sequence[DownstreamEffect]) -> None:
        self.held = list(effects)
        self.until_ms: int | None = None
        self.failures: list[Exception] = []
        self.asked: list[tuple[Scope, int, int]] = []
        self.closed = False

    async def effects(self, scope: Scope, from_ms: int, to_ms: int) -> DownstreamPage:
        self.asked.append((scope, from_ms, to_ms))
        if self.failures:
            raise self.failures.pop(0)
        return DownstreamPage(effects=list(self.held), until_ms=self.until_ms)

    async def close(self) -> None:
        self.closed = True


class Guards:
    """Implements `ports.OpenEffects`."""

    def __init__(self, entries: Sequence[LedgerEntry]) -> None:
        self.held = list(entries)
        self.asked: list[list[str]] = []

    async def entries(self, scope: Scope, keys: Sequence[str]) -> list[LedgerEntry]:
        self.asked.append(list(keys))
        return [entry for entry in self.held if entry.scope == scope]


class World:
    """Everything that a comparison asks."""

    def __init__(
        self,
        ledger: Sequence[LedgerEntry] = (),
        there: Sequence[DownstreamEffect] = (),
        *,
        guards: Sequence[LedgerEntry] | None = None,
        settings: ReconciliationSettings = SETTINGS,
    ) -> None:
        self.clock = ManualClock(NOW + 5_000)
        self.telemetry = telemetry()
        self.ledger = Ledger(ledger)
        self.bank = Bank(there)
        self.guards = Guards(guards) if guards is not None else None
        self.reconciler = LedgerReconciler(
            settings,
            ledger=self.ledger,
            open_effects=self.guards,
            clock=self.clock,
            telemetry=self.telemetry,
            listings={"bank": self.bank},
        )

    def metric(self, name: str, **labels: str) -> float | None:
        return self.telemetry.registry.get_sample_value(f"rollbackd_{name}", labels)
