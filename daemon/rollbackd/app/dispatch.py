"""From what fires to incidents: joins, asks the guardrails, opens.

Level-triggered: every evaluation looks at all that fires, so a trigger that could not be acted on
(paused, store down) is looked at again. A rule instance that an incident answers for is not looked
at again until it has stopped firing.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from rollbackd.app.answers import Answers
from rollbackd.app.latching import Latching, Page, nobody
from rollbackd.app.lookout import Lookout
from rollbackd.app.opening import ChangesOf, OnOpened, Openings, no_changes
from rollbackd.app.refusals import Refusals, instance_of
from rollbackd.app.units import Units
from rollbackd.app.written_refusals import WrittenRefusals
from rollbackd.clock import Clock
from rollbackd.incidents.guardrails import (
    GUARDRAILS,
    GUARDRAILS_OF_A_PULL,
    GUARDRAILS_OF_A_TAKEOVER,
    first_objection,
)
from rollbackd.incidents.guardrails.asking import Refusal, admitted, refusal
from rollbackd.incidents.guardrails.by_people import exempted_freeze
from rollbackd.incidents.opening import scope_of
from rollbackd.incidents.units import Order, in_order
from rollbackd.model.decisions import Reason
from rollbackd.model.explanations import Fate
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.labels import Labels, Scope
from rollbackd.model.pins import Pins
from rollbackd.model.policy import BranchPolicy, DecisionTree
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.ports import Pause, ScopeBusyError, Store
from rollbackd.settings import ScopeLabels
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)


class Driver(Protocol):
    """Drives open incidents: the runner, or a dry run of it."""

    def current(self) -> list[Incident]:
        """The incidents that are open."""
        ...

    def start(self, incident: Incident) -> None:
        """Drive a new incident."""
        ...

    def join(self, incident_id: str, trigger: Trigger, policy: BranchPolicy) -> bool:
        """Tell an incident of another trigger; whether it answers for it."""
        ...

    async def compensate(self, incident_id: str, *, because: str) -> bool:
        """Have the flip of an incident reverted; False when it is not driven here."""
        ...


class Dispatcher:
    """Decides what becomes of each firing trigger.

    `on_ignored` hears of a trigger that opens nothing, once for each reason; `on_opened` hears of
    an incident with its first record once they are stored; `new_id` names an incident by the time
    of its opening. `pins_of`, `scopes_of`, `coverage_of`, `changes_of` and `paused_here` are what
    the guardrails look at beside the store (`app.lookout`); `page` asks for a person where a
    guardrail gives up.
    """

    def __init__(
        self,
        *,
        store: Store,
        runner: Driver,
        clock: Clock,
        telemetry: Telemetry,
        tree: DecisionTree,
        scope_labels: ScopeLabels,
        on_ignored: Callable[[Trigger, Reason], None] = lambda _trigger, _reason: None,
        on_opened: OnOpened = lambda _incident, _record: None,
        new_id: Callable[[int], str] | None = None,
        pins_of: Callable[[Scope], Mapping[str, Pins]] = lambda _scope: {},
        coverage_of: Callable[[str, Scope], float | None] = lambda _rule, _scope: None,
        scopes_of: Callable[[str], Iterable[Scope]] = lambda _service: (),
        changes_of: ChangesOf = no_changes,
        paused_here: Callable[[], Pause | None] = lambda: None,
        page: Page = nobody,
    ) -> None:
        self.tree = tree
        #: The pause that is in the store.
        self.pause: Pause | None = None
        self.latching = Latching(store=store, clock=clock, page=page)
        self._paused_here = paused_here
        self._lookout = Lookout(
            store=store,
            clock=clock,
            scope_labels=scope_labels,
            paused=lambda: self.pause_in_force,
            pins_of=pins_of,
            coverage_of=coverage_of,
            scopes_of=scopes_of,
            changes_of=changes_of,
        )
        self._openings = Openings(
            store=store,
            start=runner.start,
            clock=clock,
            telemetry=telemetry,
            on_opened=self._heard_of,
            new_id=new_id,
            changes_of=changes_of,
        )
        self.units = Units(
            store=store,
            driver=runner,
            openings=self._openings,
            lookout=self._lookout,
            tree=lambda: self.tree,
            page=page,
        )
        self._runner = runner
        self._clock = clock
        self._telemetry = telemetry
        self._scope_labels = scope_labels
        self._on_ignored = on_ignored
        self._on_opened = on_opened
        self._answers = Answers(runner.current)
        self._refusals = Refusals()
        self._written = WrittenRefusals(store, clock)

    @property
    def pause_in_force(self) -> Pause | None:
        """Why nothing is opened: the local file says so, or the store does."""
        return self._paused_here() or self.pause

    def inherit(self, incidents: Iterable[Incident]) -> None:
        """After a restart: these incidents answered for their triggers in an earlier process."""
        for incident in incidents:
            self.units.note(incident)
            self._answers.inherit(incident, self.tree)

    def forget_inherited(self) -> None:
        """Windows are full again: what does not fire by now had stopped before the restart."""
        self._answers.forget_inherited()

    def fate_of(self, rule: str, labels: Labels) -> Fate:
        """What became of a firing rule instance."""
        instance = rule, labels
        return Fate(incident_id=self._answers.of(instance), reason=self._refusals.newest(instance))

    async def dispatch(self, transitions: Iterable[Trigger], firing: Iterable[Trigger]) -> None:
        """Look at an evaluation.

        Raises TemporaryError when the store cannot be reached; the same one may then come again.
        """
        transitions, firing = list(transitions), list(firing)
        for trigger in transitions:
            if trigger.state is RuleState.FIRING:
                self._answers.begins(instance_of(trigger))
            elif trigger.state is RuleState.INACTIVE:
                self._answers.forget(instance_of(trigger))
                self._refusals.forget(instance_of(trigger))
        paused = self.pause_in_force is not None
        for incident in await self._openings.repeat(paused=paused):
            if incident.is_open:
                self._answers.give(incident.id, *incident.triggers)
            self._written.note(incident)
        self._lookout.begin(transitions, firing)
        self._answers.fires(firing)
        fresh = [t for t in firing if not self._answers.of(instance_of(t))]
        for trigger in sorted(fresh, key=self._priority):
            await self._consider(trigger)
        await self.units.round()

    async def pull(
        self, branch: str, scope: Scope, *, reason: str, by: str, regions: Sequence[str] = ()
    ) -> Incident:
        """Open an incident by hand; with further regions, that of the first one.

        The regions follow in the order of the tree, each once the one before is green. Raises
        ValueError, ScopeBusyError, TemporaryError.
        """
        policy = self.tree.branches.get(branch)
        if policy is None:
            raise ValueError(
                f"branch `{branch}` is not in the tree; it has {', '.join(self.tree.branches)}"
            )
        scopes = in_order(self.tree.regions, scope, regions)
        for each in scopes:
            situation = await self._lookout.situation(self.tree, each, policy, None)
            objection = first_objection(situation, GUARDRAILS_OF_A_PULL)
            if objection is not None:
                raise ValueError(
                    f"cannot pull `{branch}` on {each}: {objection.because} ({objection.reason})"
                )
        unit = self._openings.new_unit(Order.REGION, scopes) if len(scopes) > 1 else None
        return await self._openings.open(scopes[0], policy, pulled_by=by, note=reason, unit=unit)

    def _heard_of(self, incident: Incident, record: JournalRecord) -> None:
        self._on_opened(incident, record)
        self._lookout.note(incident)
        self.units.note(incident)

    def _priority(self, trigger: Trigger) -> int:
        policy = self.tree.branches.get(trigger.label("branch"))
        return policy.priority if policy is not None else len(self.tree.branches)

    async def _consider(self, trigger: Trigger) -> None:
        branch = trigger.label("branch")
        if not branch:
            return
        policy = self.tree.branches.get(branch)
        scope = scope_of(
            trigger,
            service_label=self._scope_labels.service,
            region_label=self._scope_labels.region,
        )
        if policy is None:
            self._ignore(trigger, Reason.UNKNOWN_BRANCH)
        elif scope is None:
            self._ignore(trigger, Reason.NO_SCOPE)
        elif await self._join(trigger, scope, policy):
            return
        elif self.units.expects(scope):
            self._ignore(trigger, Reason.WAITS_FOR_UNIT)
        else:
            await self._open_unless_objected(trigger, scope, policy)

    async def _join(self, trigger: Trigger, scope: Scope, policy: BranchPolicy) -> bool:
        """Whether the scope has an open incident; it is told of the trigger once."""
        incident = next((i for i in self._runner.current() if i.scope == scope), None)
        if incident is None:
            return False
        if self._refusals.newest(instance_of(trigger)) is Reason.JOINED_OPEN_INCIDENT:
            return True
        if policy.priority < incident.policy.priority:
            if not self._is_due(trigger):
                return True
            situation = await self._lookout.situation(self.tree, scope, policy, trigger)
            acting, guardrails = incident.branch, GUARDRAILS_OF_A_TAKEOVER
            refused = refusal(situation, guardrails, acting=acting)
            if refused is not None:
                await self._refuse(trigger, scope, refused, incident)
                return True
            policy = admitted(situation, guardrails, acting=acting)
        if self._runner.join(incident.id, trigger, policy):
            self._answers.give(incident.id, trigger)
        else:
            self._ignore(trigger, Reason.JOINED_OPEN_INCIDENT)
        return True

    async def _open_unless_objected(
        self, trigger: Trigger, scope: Scope, policy: BranchPolicy
    ) -> None:
        if not self._is_due(trigger):
            return
        situation = await self._lookout.situation(self.tree, scope, policy, trigger)
        unit = refusal(situation, GUARDRAILS) or await self.units.around(situation)
        if isinstance(unit, Refusal):
            await self._refuse(trigger, scope, unit)
            return
        window = exempted_freeze(situation)
        note = (
            f"in change freeze `{window.name}`, from which a rollback is exempt" if window else ""
        )
        try:
            incident = await self._openings.open(
                unit.scopes[0] if unit is not None else scope,
                admitted(situation, GUARDRAILS),
                trigger=trigger,
                note=note,
                unit=unit,
            )
        except ScopeBusyError as error:
            self._asked(trigger)
            self._ignore(trigger, Reason.JOINED_OPEN_INCIDENT)
            logger.info("the scope is busy", extra={"incident": error.incident_id})
            return
        self._refusals.forget(instance_of(trigger))
        self._answers.give(incident.id, trigger)

    async def _refuse(
        self,
        trigger: Trigger,
        scope: Scope,
        refused: Refusal,
        taking_over: Incident | None = None,
    ) -> None:
        """Write down once what would have been done; a takeover leaves the incident as it is."""
        situation, objection = refused.situation, refused.objection
        if self._refusals.is_noted(instance_of(trigger), objection.reason):
            self._refusals.note(instance_of(trigger), objection.reason)
            self._asked(trigger)
            return
        latch = await self.latching.latch(situation, objection)
        if latch is not None:
            self._lookout.note_latch(latch)
        about = taking_over or await self._written.take(trigger, objection.reason)
        about = about or await self._openings.open(
            scope, situation.policy, trigger=trigger, objection=objection
        )
        self._asked(trigger)
        self._ignore(trigger, objection.reason)
        self._telemetry.guard_blocks.labels(objection.reason).inc()
        await self.latching.page_for(about, situation, objection.reason, latch)

    def _is_due(self, trigger: Trigger) -> bool:
        paused = self.pause_in_force is not None
        return self._refusals.is_due(
            instance_of(trigger), self._clock.now(), self.tree, paused=paused
        )

    def _asked(self, trigger: Trigger) -> None:
        paused = self.pause_in_force is not None
        self._refusals.asked(instance_of(trigger), self._clock.now(), self.tree, paused=paused)

    def _ignore(self, trigger: Trigger, reason: Reason) -> None:
        """Note why a trigger opened nothing, and say so when it is news."""
        if not self._refusals.note(instance_of(trigger), reason):
            return
        self._telemetry.triggers_ignored.labels(reason).inc()
        logger.warning("a trigger fired", extra={"rule": trigger.rule, "reason": reason})
        self._on_ignored(trigger, reason)
