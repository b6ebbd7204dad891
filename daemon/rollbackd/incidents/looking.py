"""Looking at what should stand while an incident is watched: its pointers, and its freeze."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.model.incidents import Incident
from rollbackd.model.levers import Change, PlanRequest, Target
from rollbackd.model.policy import LeverCall
from rollbackd.ports import Lever, LeverTable

logger = logging.getLogger(__name__)

#: A look at a target beside an act may take this long.
_LOOK_SECONDS: Final = 5.0
#: A target in another system is looked at this often: its API has a rate limit.
_INTERVAL_MS: Final = 15_000


class Lookout:
    """Reads targets beside the acts; what cannot be read is taken to stand."""

    def __init__(self, levers: LeverTable, clock: Clock) -> None:
        self._levers = levers
        self._clock = clock
        self._looked_at: dict[str, float] = {}

    async def drifted(self, changes: Sequence[Change]) -> list[Change]:
        """Of flips that should stand, those that were read not to: each from what is there now.

        A target that cannot be read, or was read a moment ago, has not drifted; it is read again
        with one of the next readings.
        """
        due = [change for change in changes if self._is_due(change.target)]
        seen = await asyncio.gather(*(self._drifted(change) for change in due))
        return [change for change in seen if change is not None]

    async def _drifted(self, change: Change) -> Change | None:
        lever = self._levers.get(change.target.lever)
        if lever is None:
            return None
        self._note(lever, change.target)
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                if await lever.verify(change):
                    return None
                now = await lever.observe(change.target)
        except (PermanentError, TemporaryError, TimeoutError) as error:
            because = str(error) or "no answer in time"
            extra = {"target": str(change.target), "because": because}
            logger.warning("cannot read whether a flip still stands", extra=extra)
            return None
        # between the two reads it may have come back
        return None if now.value == change.after else replace(change, before=now)

    async def lifted(self, incident: Incident, call: LeverCall | None) -> Change | None:
        """How the fence of a branch would have to be put on again; None while it stands."""
        if call is None:
            return None
        target = Target(lever=call.lever, scope=incident.scope, name=call.name)
        lever = self._levers.get(call.lever)
        if lever is None or not self._is_due(target):
            return None
        self._note(lever, target)
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                now = await lever.observe(target)
            request = PlanRequest(
                target=target, observed=now, known_good=None, params=call.params, pins_seen={}
            )
            after = lever.plan(request)
        except (PermanentError, TemporaryError, TimeoutError) as error:
            because = str(error) or "no answer in time"
            extra = {"target": str(target), "because": because}
            logger.warning("cannot read whether a freeze still stands", extra=extra)
            return None
        return None if after is None else Change(target=target, before=now, after=after)

    def _is_due(self, target: Target) -> bool:
        recently = self._clock.monotonic() - _INTERVAL_MS / 1_000
        self._looked_at = {key: at for key, at in self._looked_at.items() if at > recently}
        return str(target) not in self._looked_at

    def _note(self, lever: Lever, target: Target) -> None:
        if lever.reader_timeout_ms is not None:
            self._looked_at[str(target)] = self._clock.monotonic()
