"""Asks the ledger, the guards and the listing, and compares what they say."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Final

import msgspec

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError, RollbackdError, TemporaryError
from rollbackd.model.facts import EffectStatus
from rollbackd.model.incidents import Incident, State
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import (
    DownstreamEffect,
    LedgerEntry,
    ReconciledItem,
    Reconciliation,
    Window,
)
from rollbackd.ports import Listing, OpenEffects, ReceiptLedger
from rollbackd.reconciliation.comparing import reconcile, summed
from rollbackd.reconciliation.file_listing import FileListing
from rollbackd.reconciliation.http_listing import HttpListing
from rollbackd.settings.reconciliation import ListingSettings, ReconciliationSettings
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

#: Between two tries while a listing is away, or something is too fresh.
_AGAIN_MS: Final = 1_000

#: Makes the adapter of a listing.
MakeListing = Callable[[ListingSettings], Listing]


class LedgerReconciler:
    """Implements `ports.Reconciler`."""

    def __init__(
        self,
        settings: ReconciliationSettings,
        *,
        ledger: ReceiptLedger,
        open_effects: OpenEffects | None,
        clock: Clock,
        telemetry: Telemetry,
        listings: Mapping[str, Listing] | None = None,
    ) -> None:
        """`listings` are the adapters by the name of the listing; each is made where it lacks."""
        self._settings = settings
        self._ledger = ledger
        self._open_effects = open_effects
        self._clock = clock
        self._telemetry = telemetry
        made = {each.name: listing_of(each) for each in settings.listings}
        self._listings: dict[str, Listing] = made | dict(listings or {})

    def lists(self, scope: Scope) -> bool:
        """See `ports.Reconciler`."""
        return self._settings.listing_of(scope.service) is not None

    async def reconcile(self, incident: Incident, *, patient: bool = True) -> Reconciliation:
        """See `ports.Reconciler`; without patience it is tried once, whatever is too fresh."""
        found = await self.compare(
            incident.scope,
            first_bad_ms(incident) - self._settings.lookback,
            _until_ms(incident) or self._clock.now(),
            accepted=incident.accepted_items,
            needed_until_ms=incident.frozen_at_ms or incident.opened_at_ms,
            patient=patient,
        )
        self._count(incident.scope, found)
        return found

    async def compare(
        self,
        scope: Scope,
        from_ms: int,
        to_ms: int,
        *,
        accepted: Collection[ReconciledItem] = (),
        needed_until_ms: int = 0,
        patient: bool = True,
    ) -> Reconciliation:
        """One comparison of a time. Never raises.

        With patience, what is too fresh is waited for, and a listing that is away as well. A
        listing that is whole only until before `needed_until_ms` says nothing.
        """
        settings = self._settings.listing_of(scope.service)
        bare = Reconciliation(at_ms=self._clock.now(), from_ms=from_ms, to_ms=to_ms)
        if settings is None:
            return bare
        asking = _Asking(scope, from_ms, to_ms, settings, accepted, needed_until_ms)
        deadline_ms = bare.at_ms + self._settings.timeout
        while True:
            problem, found = await self._try(asking)
            waits = found is not None and bool(found.waiting)
            passing = isinstance(problem, TemporaryError) or waits
            if not (patient and passing) or self._clock.now() + _AGAIN_MS > deadline_ms:
                break
            await self._clock.sleep(_AGAIN_MS)
        if found is not None:
            return found
        return msgspec.structs.replace(bare, listing=settings.name, unavailable=str(problem))

    async def close(self) -> None:
        """Close what the listings hold open. Idempotent."""
        for listing in self._listings.values():
            await listing.close()

    async def _try(self, asking: "_Asking") -> tuple[RollbackdError | None, Reconciliation | None]:
        try:
            async with asyncio.timeout(self._settings.timeout / 1_000):
                return None, await self._compare(asking)
        except TimeoutError:
            return TemporaryError("no answer in time"), None
        except RollbackdError as error:
            return error, None
        except Exception:
            logger.exception("a comparison failed", extra={"scope": str(asking.scope)})
            return PermanentError("the comparison failed; the log says why"), None

    async def _compare(self, asking: "_Asking") -> Reconciliation:
        scope, edge = asking.scope, self._settings.settle
        first_ms, last_ms = asking.from_ms - edge, asking.to_ms + edge
        listing = self._listings[asking.settings.name]
        # the listing first: what it holds has its receipt already, or never
        page = await listing.effects(scope, first_ms, last_ms)
        ledger = await self._ledger.page(scope, first_ms, last_ms)
        now_ms = self._clock.now()
        to_ms, settled_ms = asking.to_ms, now_ms - edge
        if page.until_ms is not None:
            to_ms, settled_ms = min(to_ms, page.until_ms - edge), min(settled_ms, page.until_ms)
            if page.until_ms < asking.needed_until_ms:
                raise PermanentError("the listing was written before the time that is asked about")
        if ledger.dropped_until_ms is not None and ledger.dropped_until_ms >= asking.from_ms:
            raise PermanentError("the ledger has dropped receipts of that time; keep more of them")
        entries = await self._with_others(scope, ledger.entries, page.effects)
        window = Window(from_ms=asking.from_ms, to_ms=to_ms, settled_ms=settled_ms)
        items = reconcile(entries, page.effects, window, accepted=asking.accepted)
        return summed(items, window, at_ms=now_ms, listing=asking.settings.name)

    async def _with_others(
        self, scope: Scope, entries: list[LedgerEntry], effects: Collection[DownstreamEffect]
    ) -> list[LedgerEntry]:
        """With receipts from outside the time, and with what guards know of what is not sealed."""
        listed = {effect.key for effect in effects}
        if elsewhere := sorted(listed - {entry.key for entry in entries}):
            entries = [*entries, *await self._ledger.of_keys(scope, elsewhere)]
        if self._open_effects is None:
            return entries
        sealed = {entry.key for entry in entries if entry.status is EffectStatus.SEALED}
        doubted = sorted((listed | {entry.key for entry in entries}) - sealed)
        return [*entries, *await self._open_effects.entries(scope, doubted)]

    def _count(self, scope: Scope, found: Reconciliation) -> None:
        result = "clean" if not found.open_items else "open"
        if not found.is_known:
            result = "unavailable" if found.unavailable else "unlisted"
        self._telemetry.reconciliations.labels(result).inc()
        if found.is_known:
            items, name = self._telemetry.reconciliation_items, str(scope)
            for verdict, count in found.counts.items():
                items.labels(name, verdict).set(count)
            self._telemetry.reconciliation_open_items.labels(name).set(found.open_items)


class _Asking(msgspec.Struct, frozen=True):
    """What is asked."""

    scope: Scope
    from_ms: int
    to_ms: int
    settings: ListingSettings
    accepted: Collection[ReconciledItem]
    needed_until_ms: int


def first_bad_ms(incident: Incident) -> int:
    """When the first thing that the incident is about happened."""
    return min([trigger.active_at_ms for trigger in incident.triggers] + [incident.opened_at_ms])


def _until_ms(incident: Incident) -> int | None:
    """The last moment before writers were let go again; None while they are not."""
    if incident.state is not State.AUDITING:
        return None
    ended = [each.ended_at_ms for each in incident.ledger if each.ended_at_ms is not None]
    return max(ended, default=incident.entered_at_ms) - 1


def listing_of(settings: ListingSettings) -> HttpListing | FileListing:
    """The adapter of a listing."""
    if settings.http is not None:
        return HttpListing(settings)
    assert settings.file is not None
    return FileListing(settings.file, max_effects=settings.max_effects)
