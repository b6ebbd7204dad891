"""Units live: which incidents belong together, and the next step of each when it is due.

What is due follows from the stored incidents alone (`incidents.units.due`), and a step is named
after its unit, so that a process which takes over goes on where the last one stopped.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from rollbackd.app.latching import Page
from rollbackd.app.lookout import Lookout
from rollbackd.app.opening import Openings, step_id
from rollbackd.clock import Clock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.incidents.guardrails import (
    GUARDRAILS_OF_A_STEP,
    GUARDRAILS_OF_A_UNIT,
    first_objection,
)
from rollbackd.incidents.guardrails.asking import Refusal
from rollbackd.incidents.guardrails.situation import Situation
from rollbackd.incidents.units import (
    Diverged,
    OpenStep,
    Order,
    PutBack,
    due,
    group_of,
    is_settled,
    still_to_come,
)
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, Unit
from rollbackd.model.labels import Scope
from rollbackd.model.policy import DecisionTree
from rollbackd.ports import ScopeBusyError, Store

logger = logging.getLogger(__name__)

_LOOK_EVERY_MS: Final = 200


class StepDriver(Protocol):
    """Drives the incidents of steps."""

    def current(self) -> list[Incident]:
        """The incidents that are open and driven here."""
        ...

    async def compensate(self, incident_id: str, *, because: str) -> bool:
        """Have the flip of an incident reverted; False when it is not driven here."""
        ...


class Units:
    """Keeps the units that are under way; `page` asks for a person where one stops for good."""

    def __init__(
        self,
        *,
        store: Store,
        driver: StepDriver,
        openings: Openings,
        lookout: Lookout,
        tree: Callable[[], DecisionTree],
        page: Page,
    ) -> None:
        self._store = store
        self._driver = driver
        self._openings = openings
        self._lookout = lookout
        self._tree = tree
        self._page = page
        #: The incidents of each unit by the index of their step.
        self._steps: dict[str, dict[int, Incident]] = {}
        self._paged: set[str] = set()
        self._one_at_a_time = asyncio.Lock()

    def note(self, incident: Incident) -> None:
        """An incident was opened, or found in the store after a restart."""
        if incident.unit is not None:
            self._steps.setdefault(incident.unit.id, {})[incident.unit.index] = incident

    def expects(self, scope: Scope) -> bool:
        """Whether the scope's turn in a unit is still to come."""
        return any(scope in still_to_come(list(s.values())) for s in self._steps.values())

    async def around(self, situation: Situation) -> Unit | Refusal | None:
        """The unit that a rollback of the scope begins, or what stands against one of its steps.

        None when the scope is rolled back alone. What already runs with its known good set is left
        out. Raises TemporaryError.
        """
        scopes = group_of(situation.tree.groups, situation.scope, situation.policy)
        order = Order.DEPENDENCY
        if not scopes:
            scopes, order = self._with_the_same_bad_pins(situation), Order.AT_ONCE
        wanted = []
        for scope in scopes:
            refused = None
            if scope != situation.scope:
                refused = await self._refusal(situation, scope)
            if refused is None:
                wanted.append(scope)
            elif order is Order.DEPENDENCY and not _is_left_out(refused):
                return refused
        return self._openings.new_unit(order, wanted) if len(wanted) > 1 else None

    async def run(self, clock: Clock) -> None:
        """Do what is due until cancelled: a unit goes on also while no rule is evaluated."""
        while True:
            try:
                await self.round()
            except TemporaryError as error:
                logger.warning("will try again", extra={"because": str(error)})
            await clock.sleep(_LOOK_EVERY_MS)

    async def round(self) -> None:
        """Do what is due in every unit. Raises TemporaryError."""
        async with self._one_at_a_time:
            for unit_id, steps in list(self._steps.items()):
                await self._refresh(steps)
                while await self._advance(steps):
                    pass
                if is_settled(list(steps.values())):
                    self._steps.pop(unit_id, None)

    def _with_the_same_bad_pins(self, situation: Situation) -> list[Scope]:
        """This region and the others with its bad pins, once another of them is rolled back (K16).

        Those with an open incident are rolled back already.
        """
        open_here = {incident.scope for incident in self._driver.current()}
        same = situation.same_bad_pins - {situation.scope}
        if not same & open_here:
            return []
        return [situation.scope, *sorted(same - open_here)]

    async def _refusal(self, around: Situation, scope: Scope) -> Refusal | None:
        other = await self._lookout.situation(around.tree, scope, around.policy, None)
        objection = first_objection(other, GUARDRAILS_OF_A_UNIT)
        return None if objection is None else Refusal(situation=other, objection=objection)

    async def _refresh(self, steps: dict[int, Incident]) -> None:
        """Steps that are driven here as they are now, others as they were stored last."""
        driven = {incident.id: incident for incident in self._driver.current()}
        for index, step in steps.items():
            if step.id in driven:
                steps[index] = driven[step.id]
            elif step.is_open:
                steps[index] = await self._store.incident(step.id) or step

    async def _advance(self, steps: dict[int, Incident]) -> bool:
        """Do the one thing that is due; whether that may have made another one due."""
        match due(list(steps.values())):
            case OpenStep(unit=unit):
                return await self._open(unit, steps)
            case PutBack(incident_id=incident_id, because=because):
                await self._driver.compensate(incident_id, because=because)
            case Diverged(incident_id=incident_id, because=because):
                await self._page_once(_by_id(steps, incident_id), because)
            case None:
                pass
        return False

    async def _open(self, unit: Unit, steps: dict[int, Incident]) -> bool:
        """Open a step, unless it has to wait: for a person's pause, or for its scope."""
        first = steps[min(steps)]
        scope = unit.scopes[unit.index]
        known = await self._store.incident(step_id(unit))
        if known is not None:
            steps[unit.index] = known
            return True
        situation = await self._lookout.situation(self._tree(), scope, first.policy, None)
        if situation.pause is not None:
            return False
        at_once = unit.order == Order.AT_ONCE
        try:
            opened = await self._openings.open(
                scope,
                first.policy,
                pulled_by=first.pulled_by,
                objection=first_objection(situation, GUARDRAILS_OF_A_STEP),
                reason=Reason.SAME_BAD_PINS if at_once else Reason.STEP_OF_UNIT,
                note=f"step {unit.index + 1} of {len(unit.scopes)} of unit {unit.id}",
                unit=unit,
            )
        except (ScopeBusyError, PermanentError) as error:
            # the scope has an incident of its own, or another process has just opened this step
            logger.info("a step waits", extra={"unit": unit.id, "because": str(error)})
            return False
        steps[unit.index] = opened
        return True

    async def _page_once(self, incident: Incident, because: str) -> None:
        unit = incident.unit
        if unit is None or unit.id in self._paged:
            return
        self._paged.add(unit.id)
        logger.error("a unit stops", extra={"unit": unit.id, "because": because})
        await self._page(incident, Reason.REGIONS_DIVERGED)


def _is_left_out(refused: Refusal) -> bool:
    """Nothing has to be rolled back there."""
    return refused.objection.reason is Reason.KNOWN_GOOD_IS_CURRENT


def _by_id(steps: dict[int, Incident], incident_id: str) -> Incident:
    return next(step for step in steps.values() if step.id == incident_id)
