"""Receipts and effects to compare."""

from typing import Any

from rollbackd.model.facts import EffectStatus
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import DownstreamEffect, LedgerEntry, Window

NOW = 1_790_000_000_000
SCOPE = Scope("pay", "eu-1")
#: Everything in it has settled.
WINDOW = Window(from_ms=NOW - 1_000, to_ms=NOW + 1_000, settled_ms=NOW + 10_000)


def entry(
    key: str = "k1", effect_id: str = "e1", status: str = "sealed", **changes: Any
) -> LedgerEntry:
    """One effect as the ledger has it."""
    at_ms = changes.pop("at_ms", NOW)
    known: dict[str, Any] = {"scope": SCOPE, "first_ms": at_ms, "last_ms": at_ms}
    return LedgerEntry(
        key=key, effect_id=effect_id, status=EffectStatus(status), **(known | changes)
    )


def effect(key: str = "k1", effect_id: str = "e1", time_ms: int | None = NOW) -> DownstreamEffect:
    """One effect as it is there."""
    return DownstreamEffect(key=key, effect_id=effect_id, time_ms=time_ms)
