"""Targets that open incidents of several scopes keep in force together.

A temporary measure on another system may be needed by more than one scope at a time: one job that
writes for both. Whoever takes it stores that first and acts after it; whoever gives it back stores
that first and looks around after it. So at least one of two that meet sees the other, and the last
one gives it back.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rollbackd.errors import TemporaryError
from rollbackd.incidents.ledger import perhaps_taken
from rollbackd.model.incidents import Incident, Measure, MeasureStatus
from rollbackd.model.levers import Change, Target
from rollbackd.ports import LeverTable, Store

_MOST_OPEN: Final = 10_000
#: Ended incidents that are looked through for a measure that a person took over meanwhile.
_RECENT: Final = 200
_GIVING_BACK_DELAY_MS: Final = 200
_PERSONS: Final = frozenset({MeasureStatus.LEFT_IN_FORCE, MeasureStatus.ACKNOWLEDGED})


class Held(NamedTuple):
    """A measure of another incident."""

    by: Incident
    measure: Measure


class SharedTargets:
    """What other incidents have to do with the target of a measure; all raise TemporaryError."""

    def __init__(self, levers: LeverTable, store: Store) -> None:
        self._levers = levers
        self._store = store

    async def held(
        self, incident: Incident, target: Target, value: dict[str, object]
    ) -> Held | None:
        """The measure by which another open incident keeps the target at this value."""
        return next(
            (
                held
                for held in await self._others(incident, target)
                if held.measure in perhaps_taken(held.by) and held.measure.change.after == value
            ),
            None,
        )

    async def heir(self, incident: Incident, change: Change) -> str:
        """The other incident that needs a measure of ours to stay; mostly none.

        Also one that a person ended meanwhile, leaving the measure in force for themselves.
        """
        ours = next(m for m in reversed(perhaps_taken(incident)) if m.change == change)
        since_ms = ours.taken_at_ms or 0
        for other, measure in await self._others(incident, change.target, ended=_RECENT):
            kept = other.is_open and measure in perhaps_taken(other)
            persons = measure.status in _PERSONS and (measure.ended_at_ms or 0) >= since_ms
            if (kept or persons) and measure.change.after == change.after:
                return other.id
        return ""

    async def depends(self, incident: Incident, change: Change) -> bool:
        """Whether another one has the target in hand, or has left it to this incident."""
        others = await self._others(incident, change.target, ended=_RECENT)
        return any(
            measure in perhaps_taken(other) or measure.handed_to == incident.id
            for other, measure in others
        )

    async def wait_until_kept(self, incident: Incident, change: Change) -> None:
        """Raise TemporaryError while another incident is giving this very target back."""
        for other in await self._open_beside(incident, change.target):
            pending = other.pending
            if pending is None or pending.reverts is None:
                continue
            if self._is_same(pending.change.target, change.target):
                raise TemporaryError(
                    f"{change.target} is being given back by `{other.id}`",
                    delay_ms=_GIVING_BACK_DELAY_MS,
                )

    async def _others(
        self, incident: Incident, target: Target, *, ended: int = 0
    ) -> Sequence[Held]:
        """Measures of other incidents on what the target really is, newest incident first."""
        beside = await self._open_beside(incident, target)
        if ended and self._is_shared(target):
            recent = await self._store.incidents(limit=ended)
            beside = [*beside, *(each for each in recent if not each.is_open)]
        found = (Held(each, measure) for each in beside for measure in each.ledger)
        return [held for held in found if self._is_same(held.measure.change.target, target)]

    async def _open_beside(self, incident: Incident, target: Target) -> list[Incident]:
        if not self._is_shared(target):
            return []  # one incident a scope: nobody else can have it
        found = await self._store.incidents(open_only=True, limit=_MOST_OPEN)
        return [each for each in found if each.id != incident.id]

    def _is_same(self, one: Target, other: Target) -> bool:
        return one.lever == other.lever and self._place_of(one) == self._place_of(other)

    def _is_shared(self, target: Target) -> bool:
        return self._place_of(target) != str(target)

    def _place_of(self, target: Target) -> str:
        lever = self._levers.get(target.lever)
        return lever.place(target) if lever is not None else str(target)
