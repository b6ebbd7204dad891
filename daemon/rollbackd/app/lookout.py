"""What the guardrails look at: the past from the store, and what goes on at the moment."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from rollbackd.app.opening import ChangesOf, no_changes
from rollbackd.clock import Clock
from rollbackd.incidents.guardrails.situation import Situation, horizon_ms
from rollbackd.incidents.opening import scope_of
from rollbackd.incidents.units import bad_pins, runs_with
from rollbackd.model.events import KnownGood
from rollbackd.model.history import History, Latch, Trip, act_of, trip_of
from rollbackd.model.incidents import Incident
from rollbackd.model.labels import Labels, Scope
from rollbackd.model.pins import Pins
from rollbackd.model.policy import BranchPolicy, DecisionTree
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.ports import Pause, Store
from rollbackd.settings import ScopeLabels


class Lookout:
    """Looks at the store once an evaluation, and only when a guardrail is asked.

    `pins_of` gives the pins that each arm of a scope was last seen with, `coverage_of` the share of
    the series of a rule and scope that still report, `scopes_of` the scopes of a service that were
    seen, `paused` the pause in force.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        scope_labels: ScopeLabels,
        paused: Callable[[], Pause | None],
        pins_of: Callable[[Scope], Mapping[str, Pins]],
        coverage_of: Callable[[str, Scope], float | None],
        scopes_of: Callable[[str], Iterable[Scope]],
        changes_of: ChangesOf = no_changes,
    ) -> None:
        self._store = store
        self._clock = clock
        self._scope_labels = scope_labels
        self._paused = paused
        self._pins_of = pins_of
        self._coverage_of = coverage_of
        self._scopes_of = scopes_of
        self._changes_of = changes_of
        self._pending: dict[tuple[str, Labels], Scope] = {}
        self._firing: Sequence[Trigger] = ()
        self._history: History | None = None

    def begin(self, transitions: Iterable[Trigger], firing: Sequence[Trigger]) -> None:
        """A new evaluation: what was looked up for the one before is old."""
        for trigger in transitions:
            scope = self._scope_of(trigger) if trigger.state is RuleState.PENDING else None
            if scope is not None and trigger.label("branch"):
                self._pending[trigger.rule, trigger.labels] = scope
            else:
                self._pending.pop((trigger.rule, trigger.labels), None)
        self._firing = firing
        self._history = None

    async def situation(
        self, tree: DecisionTree, scope: Scope, policy: BranchPolicy, trigger: Trigger | None
    ) -> Situation:
        """What stands around a trigger, or a person's pull. Raises TemporaryError."""
        pause = self._paused()
        rule = trigger.rule if trigger is not None else ""
        known_good = await self._store.known_good(scope)
        return Situation(
            now_ms=self._clock.now(),
            scope=scope,
            policy=policy,
            tree=tree,
            trigger=trigger,
            history=await self._looked_up(tree),
            pause=None if pause is None else pause.reason,
            known_good=known_good,
            pins_seen=self._pins_of(scope),
            coverage=self._coverage_of(rule, scope) if rule else None,
            changes=self._changes_of(scope, policy.changes_within_ms),
            about_to_trip=frozenset(s for (name, _), s in self._pending.items() if name == rule),
            same_bad_pins=self._same_bad_pins(scope, known_good),
        )

    def note(self, incident: Incident) -> None:
        """An incident was opened since: the next trigger of this evaluation has to know."""
        if self._history is None:
            return
        trip = trip_of(incident)
        if trip is not None:
            self._history = replace(self._history, trips=[*self._history.trips, trip])
        if incident.is_open:
            self._history = replace(self._history, acts=[*self._history.acts, act_of(incident)])

    def note_latch(self, latch: Latch) -> None:
        """A latch was stored since."""
        if self._history is not None:
            others = [
                each
                for each in self._history.latches
                if (each.scope, each.branch) != (latch.scope, latch.branch)
            ]
            self._history = replace(self._history, latches=[*others, latch])

    def _same_bad_pins(self, scope: Scope, known_good: KnownGood | None) -> frozenset[Scope]:
        if known_good is None:
            return frozenset()
        bad = bad_pins(self._pins_of(scope), known_good.pins)
        regions = self._scopes_of(scope.service)
        return frozenset(each for each in regions if runs_with(self._pins_of(each), bad))

    async def _looked_up(self, tree: DecisionTree) -> History:
        if self._history is None:
            now_ms = self._clock.now()
            trips = [trip for trigger in self._firing if (trip := self._trip(trigger)) is not None]
            oldest_ms = min((trip.at_ms for trip in trips), default=now_ms)
            stored = await self._store.history(
                acts_since_ms=now_ms - horizon_ms(tree),
                trips_since_ms=oldest_ms - tree.correlated.within_ms,
            )
            self._history = replace(stored, trips=[*stored.trips, *trips])
        return self._history

    def _trip(self, trigger: Trigger) -> Trip | None:
        scope = self._scope_of(trigger)
        if scope is None or not trigger.label("branch"):
            return None
        at_ms = self._clock.now() if trigger.fired_at_ms is None else trigger.fired_at_ms
        return Trip(scope=scope, rule=trigger.rule, at_ms=at_ms)

    def _scope_of(self, trigger: Trigger) -> Scope | None:
        return scope_of(
            trigger,
            service_label=self._scope_labels.service,
            region_label=self._scope_labels.region,
        )
