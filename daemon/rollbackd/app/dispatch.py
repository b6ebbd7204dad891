"""From what fires to incidents: joins, asks the guardrails, opens.

Level-triggered: every evaluation looks at all that fires, so a trigger that could not be acted on
(paused, store down) is looked at again. A rule instance that an incident answers for is not looked
at again until it has stopped firing.
"""

import logging
import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, Protocol

from rollbackd.clock import Clock
from rollbackd.incidents.guardrails import (
    GUARDRAILS,
    GUARDRAILS_OF_A_PULL,
    GUARDRAILS_OF_A_TAKEOVER,
    Situation,
    first_objection,
)
from rollbackd.incidents.opening import new_incident, scope_of
from rollbackd.model.decisions import Reason
from rollbackd.model.explanations import Fate
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.labels import Labels, Scope
from rollbackd.model.policy import BranchPolicy, DecisionTree
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.ports import Pause, ScopeBusyError, Store
from rollbackd.settings import ScopeLabels
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

_RECENT: Final = 500

#: A rule instance: the rule's name and the labels of its result.
Instance = tuple[str, Labels]


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


class Dispatcher:
    """Decides what becomes of each firing trigger.

    `on_ignored` hears of a trigger that opens nothing, once for each reason; `new_id` names an
    incident by the time of its opening.
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
        new_id: Callable[[int], str] | None = None,
    ) -> None:
        self.tree = tree
        self.pause: Pause | None = None
        self._store = store
        self._runner = runner
        self._clock = clock
        self._telemetry = telemetry
        self._scope_labels = scope_labels
        self._on_ignored = on_ignored
        self._new_id = new_id or _new_id
        self._answered: dict[Instance, str] = {}
        self._inherited: set[Instance] = set()
        self._ignored: dict[Instance, Reason] = {}
        self._unanswered: dict[str, tuple[Incident, JournalRecord]] = {}

    def inherit(self, incidents: Iterable[Incident]) -> None:
        """After a restart: these incidents answered for their triggers in an earlier process."""
        for incident in incidents:
            for trigger in incident.triggers:
                self._answered[_instance(trigger)] = incident.id
                self._inherited.add(_instance(trigger))

    def forget_inherited(self) -> None:
        """Windows are full again: what does not fire by now had stopped before the restart."""
        for instance in self._inherited:
            self._answered.pop(instance, None)
        self._inherited.clear()

    def fate_of(self, rule: str, labels: Labels) -> Fate:
        """What became of a firing rule instance."""
        instance = rule, labels
        return Fate(
            incident_id=self._answered.get(instance, ""), reason=self._ignored.get(instance)
        )

    async def dispatch(self, transitions: Iterable[Trigger], firing: Iterable[Trigger]) -> None:
        """Look at an evaluation. Raises TemporaryError when the store cannot be reached."""
        for trigger in transitions:
            if trigger.state is RuleState.FIRING:
                self._telemetry.triggers.labels(trigger.rule).inc()
            elif trigger.state is RuleState.INACTIVE:
                self._answered.pop(_instance(trigger), None)
                self._ignored.pop(_instance(trigger), None)
        await self._repeat_unanswered()
        firing = list(firing)
        self._inherited -= {_instance(t) for t in firing}
        fresh = [t for t in firing if _instance(t) not in self._answered]
        for trigger in sorted(fresh, key=self._priority):
            await self._consider(trigger)

    async def pull(self, branch: str, scope: Scope, *, reason: str, by: str) -> Incident:
        """Open an incident by hand. Raises ValueError, ScopeBusyError, TemporaryError."""
        policy = self.tree.branches.get(branch)
        if policy is None:
            raise ValueError(
                f"branch `{branch}` is not in the tree; it has {', '.join(self.tree.branches)}"
            )
        situation = await self._situation(scope, policy, None)
        objection = first_objection(situation, GUARDRAILS_OF_A_PULL)
        if objection is not None:
            raise ValueError(f"cannot pull `{branch}` on {scope}: {objection}")
        return await self._open(scope, policy, trigger=None, pulled_by=by, note=reason)

    async def _repeat_unanswered(self) -> None:
        for incident, record in list(self._unanswered.values()):
            try:
                await self._store_opening(incident, record)
            except ScopeBusyError as error:
                logger.info("the scope is busy", extra={"incident": error.incident_id})
                continue
            for trigger in incident.triggers:
                if incident.is_open:
                    self._answered[_instance(trigger)] = incident.id

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
        elif not await self._join(trigger, scope, policy):
            await self._open_unless_objected(trigger, scope, policy)

    async def _join(self, trigger: Trigger, scope: Scope, policy: BranchPolicy) -> bool:
        """Whether the scope has an open incident; it is told of the trigger once."""
        incident = next((i for i in self._runner.current() if i.scope == scope), None)
        if incident is None:
            return False
        if self._ignored.get(_instance(trigger)) is Reason.JOINED_OPEN_INCIDENT:
            return True
        if policy.priority < incident.policy.priority:
            situation = await self._situation(scope, policy, trigger)
            objection = first_objection(situation, GUARDRAILS_OF_A_TAKEOVER)
            if objection is not None:
                self._ignore(trigger, objection)
                return True
        if self._runner.join(incident.id, trigger, policy):
            self._answered[_instance(trigger)] = incident.id
        else:
            self._ignore(trigger, Reason.JOINED_OPEN_INCIDENT)
        return True

    async def _open_unless_objected(
        self, trigger: Trigger, scope: Scope, policy: BranchPolicy
    ) -> None:
        situation = await self._situation(scope, policy, trigger)
        objection = first_objection(situation, GUARDRAILS)
        if objection is None:
            try:
                incident = await self._open(scope, policy, trigger=trigger)
            except ScopeBusyError as error:
                self._ignore(trigger, Reason.JOINED_OPEN_INCIDENT)
                logger.info("the scope is busy", extra={"incident": error.incident_id})
                return
            self._ignored.pop(_instance(trigger), None)
            self._answered[_instance(trigger)] = incident.id
        elif self._ignored.get(_instance(trigger)) is not objection:
            await self._open(scope, policy, trigger=trigger, objection=objection)
            self._ignore(trigger, objection)
            self._telemetry.guard_blocks.labels(objection).inc()

    async def _situation(
        self, scope: Scope, policy: BranchPolicy, trigger: Trigger | None
    ) -> Situation:
        return Situation(
            now_ms=self._clock.now(),
            scope=scope,
            policy=policy,
            tree=self.tree,
            trigger=trigger,
            paused=self.pause is not None,
            known_good=await self._store.known_good(scope),
            recent=await self._store.incidents(limit=_RECENT),
        )

    async def _open(
        self,
        scope: Scope,
        policy: BranchPolicy,
        *,
        trigger: Trigger | None,
        pulled_by: str = "",
        objection: Reason | None = None,
        note: str = "",
    ) -> Incident:
        now_ms = self._clock.now()
        epoch = await self._store.next_epoch(scope) if objection is None else 0
        incident, record = new_incident(
            incident_id=self._new_id(now_ms),
            scope=scope,
            policy=policy,
            epoch=epoch,
            now_ms=now_ms,
            trigger=trigger,
            pulled_by=pulled_by,
            objection=objection,
            note=note,
        )
        return await self._store_opening(incident, record)

    async def _store_opening(self, incident: Incident, record: JournalRecord) -> Incident:
        """Make an opening durable, then drive it.

        Without an answer of the store it may be there or not. It is kept, and the same incident is
        offered again before anything else is opened: the store takes a repetition as done.
        """
        self._unanswered[incident.id] = incident, record
        try:
            await self._store.open_incident(incident, record)
        except ScopeBusyError:
            del self._unanswered[incident.id]
            raise
        del self._unanswered[incident.id]
        objection = None if incident.is_open else incident.reason
        if objection is not None:
            self._telemetry.incidents.labels(incident.branch, incident.state).inc()
        logger.warning(
            "opened an incident" if objection is None else "would have acted",
            extra={
                "incident": incident.id,
                "scope": str(incident.scope),
                "branch": incident.branch,
                "reason": incident.reason,
                "detail": record.detail,
            },
        )
        if incident.is_open:
            self._runner.start(incident)
        return incident

    def _ignore(self, trigger: Trigger, reason: Reason) -> bool:
        """Note why a trigger opened nothing; True when that is news."""
        instance = _instance(trigger)
        if self._ignored.get(instance) is reason:
            return False
        self._ignored[instance] = reason
        self._telemetry.triggers_ignored.labels(reason).inc()
        logger.warning("a trigger fired", extra={"rule": trigger.rule, "reason": reason})
        self._on_ignored(trigger, reason)
        return True


def _instance(trigger: Trigger) -> Instance:
    return trigger.rule, trigger.labels


def _new_id(now_ms: int) -> str:
    """`INC-20261122T031502-9f3a`: sorts by time, safe in paths and keys."""
    stamp = datetime.fromtimestamp(now_ms / 1_000, UTC).strftime("%Y%m%dT%H%M%S")
    return f"INC-{stamp}-{secrets.token_hex(2)}"
