"""Objections that outlast their moment: latches, and the one page of a wave of trips."""

import logging
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from rollbackd.clock import Clock
from rollbackd.incidents.guardrails import LATCHING
from rollbackd.incidents.guardrails.situation import Objection, Situation
from rollbackd.model.decisions import Reason
from rollbackd.model.history import Latch
from rollbackd.model.incidents import Incident
from rollbackd.model.labels import Scope
from rollbackd.ports import Store

logger = logging.getLogger(__name__)

Page = Callable[[Incident, str], Awaitable[None]]


async def nobody(_incident: Incident, _reason: str) -> None:
    """Nobody hears of a page, as in a backtest."""


class Latching:
    """Stores what has to hold until a person resets it, and asks for that person once."""

    def __init__(self, *, store: Store, clock: Clock, page: Page) -> None:
        self._store = store
        self._clock = clock
        self._page = page
        self._paged: set[tuple[Scope, str, int]] = set()
        #: Trips before this time belong to a wave that was paged for.
        self.wave_until_ms = 0

    async def latch(self, situation: Situation, objection: Objection) -> Latch | None:
        """Make an objection last, if it is one that does; the latch then. Raises TemporaryError."""
        if objection.reason not in LATCHING:
            return None
        whole = objection.reason is Reason.INEFFECTIVE_CHAIN
        branch = "" if whole else situation.policy.branch
        known = situation.latch(branch)
        if known is not None and known.holds:
            return known
        latch = Latch(
            scope=situation.scope,
            branch=branch,
            reason=objection.reason,
            since_ms=situation.now_ms,
            because=objection.because,
        )
        await self._store.put_latch(latch)
        logger.warning(
            "latched until a person resets it",
            extra={
                "scope": str(latch.scope),
                "branch": latch.branch,
                "reason": latch.reason,
                "because": latch.because,
            },
        )
        return latch

    async def page_for(
        self, incident: Incident, situation: Situation, reason: Reason, latch: Latch | None
    ) -> None:
        """Ask for a person where nothing goes on without one; once a latch, and once a wave."""
        if latch is not None:
            key = latch.scope, latch.branch, latch.since_ms
            if key not in self._paged:
                self._paged.add(key)
                await self._page(incident, latch.reason)
        elif reason is Reason.CORRELATED_TRIPS:
            fresh = situation.now_ms >= self.wave_until_ms
            self.wave_until_ms = situation.now_ms + situation.tree.correlated.within_ms
            if fresh:
                await self._page(incident, reason)

    async def release(self, scope: Scope, *, by: str) -> list[Latch]:
        """Reset every latch of a scope that holds; what happened before counts no more.

        Raises KeyError when none holds, TemporaryError.
        """
        known = await self._store.latches()
        held = [latch for latch in known if latch.scope == scope and latch.holds]
        if not held:
            raise KeyError(f"latch on {scope}")
        now_ms = self._clock.now()
        released = [replace(latch, released_at_ms=now_ms, released_by=by) for latch in held]
        for latch in released:
            await self._store.put_latch(latch)
        return released
