"""Receipts of effects, and what they are compared with."""

from collections.abc import Sequence
from typing import Protocol

from rollbackd.model.incidents import Incident
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import (
    DownstreamPage,
    LedgerChange,
    LedgerEntry,
    LedgerPage,
    Reconciliation,
    Retention,
)


class ReceiptLedger(Protocol):
    """Receipts of effects, kept as long and as many as the retention says. TemporaryError.

    Each word on an effect is merged with what is known of it (`model.reconciliation.merged`): the
    same receipt again changes nothing, in whatever order receipts come.
    """

    async def put(
        self, entries: Sequence[LedgerEntry], *, retention: Retention, now_ms: int
    ) -> LedgerChange:
        """Keep what the entries say; durable on return. What is dropped for it is counted."""
        ...

    async def page(self, scope: Scope, from_ms: int, to_ms: int) -> LedgerPage:
        """What was heard of in a time, both ends included, by key."""
        ...

    async def of_keys(self, scope: Scope, keys: Sequence[str]) -> list[LedgerEntry]:
        """What is known of these keys, whenever it was heard of."""
        ...


class OpenEffects(Protocol):
    """Effects that applications keep beside the controls: what their guards know of."""

    async def entries(self, scope: Scope, keys: Sequence[str]) -> list[LedgerEntry]:
        """What is not sealed, and what is known of these keys. Changes nothing.

        Raises TemporaryError, and PermanentError for more than can be looked at.
        """
        ...


class Listing(Protocol):
    """Lists the effects that a system downstream really holds. Changes nothing there."""

    async def effects(self, scope: Scope, from_ms: int, to_ms: int) -> DownstreamPage:
        """Every effect of the scope in a time, and perhaps more.

        Bounded in number and size; raises PermanentError beyond it, as for what cannot be read, and
        TemporaryError when it cannot be reached.
        """
        ...

    async def close(self) -> None:
        """Release connections. Idempotent."""
        ...


class Reconciler(Protocol):
    """Compares the receipts of an incident with what is there downstream."""

    def lists(self, scope: Scope) -> bool:
        """Whether a listing is configured for the service."""
        ...

    async def reconcile(self, incident: Incident) -> Reconciliation:
        """One comparison, bounded in time. Never raises: what cannot be compared is `unavailable`.

        What is too fresh to be judged is waited for.
        """
        ...
