"""The state machine of one alert rule; rules/alerting.go of Prometheus."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rollbackd.model.labels import METRIC_NAME, Labels, labels_of
from rollbackd.model.triggers import RuleInstance, RuleState, Trigger
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.expressions import CompiledExpr
from rollbackd.promql.freshness import Seen
from rollbackd.promql.operators import Context
from rollbackd.promql.store import Store
from rollbackd.triggers.memory import Memory, rule_id_of
from rollbackd.triggers.templates import Fill, Template

ALERT_NAME: Final = "alertname"
ALERT_STATE: Final = "alertstate"
ALERTS: Final = "ALERTS"
ALERTS_FOR_STATE: Final = "ALERTS_FOR_STATE"
ACTIVE_STATES: Final = (RuleState.PENDING, RuleState.FIRING)


@dataclass(slots=True)
class Instance:
    """One label set of an alert rule that is pending or firing."""

    labels: Labels
    annotations: dict[str, str]
    value: float
    state: RuleState
    active_at_ms: int
    fired_at_ms: int | None = None
    #: Since when it only fires because of `keep_firing_for`.
    kept_since_ms: int | None = None
    event_time_ms: int | None = None
    #: When the expression held last.
    seen_at_ms: int = 0


@dataclass(slots=True, kw_only=True)
class AlertRule:
    """A compiled alert rule and its instances."""

    name: str
    group: str
    expr: CompiledExpr
    for_ms: int
    keep_firing_for_ms: int
    limit: int
    labels: Mapping[str, Template]
    annotations: Mapping[str, Template]
    external_labels: Mapping[str, str]
    active: dict[Labels, Instance] = field(default_factory=dict)
    #: What is left from before a restart.
    memory: Memory | None = None
    _written: set[Labels] = field(default_factory=set)

    def evaluate(self, store: Store, now_ms: int) -> list[Trigger]:
        """Move every instance; returns those whose state changed.

        Raises EvaluationError and leaves all instances as they are when the expression cannot be
        evaluated, two results get the same labels, or there are more than `limit`.
        """
        found = self._found(store, now_ms)
        if not found and not self.active and not self._written and self.memory is None:
            return []
        count = len(found) + sum(
            1
            for labels, instance in self.active.items()
            if labels not in found and self._is_kept(instance, now_ms)
        )
        if self.limit and count > self.limit:
            raise EvaluationError(f"exceeded limit of {self.limit} with {count} alerts")
        transitions = [self._renewed(instance, now_ms) for instance in found.values()]
        transitions += [
            self._missed(instance, now_ms)
            for labels, instance in list(self.active.items())
            if labels not in found
        ]
        self._write(store, now_ms)
        if self.memory is not None and self.memory.is_over(now_ms):
            self.memory = None
        return [t for t in transitions if t is not None]

    @property
    def id(self) -> str:
        """What makes this the same rule after a restart or a reload."""
        labels = sorted((name, template.text) for name, template in self.labels.items())
        return rule_id_of(
            self.group, self.name, self.expr.text, self.for_ms, self.keep_firing_for_ms, labels
        )

    def instances(self) -> list[RuleInstance]:
        """Every instance as it is kept over a restart."""
        rule_id = self.id if self.active else ""
        return [
            RuleInstance(
                rule_id=rule_id,
                rule=self.name,
                group=self.group,
                labels=instance.labels,
                state=instance.state,
                active_at_ms=instance.active_at_ms,
                fired_at_ms=instance.fired_at_ms,
                seen_at_ms=instance.seen_at_ms,
            )
            for instance in self.active.values()
        ]

    def take_over(self, old: object) -> None:
        """Go on from where the same rule stood before a reload."""
        if isinstance(old, AlertRule):
            self.active, self.memory = old.active, old.memory
            self._written = old._written  # noqa: SLF001  # the same class

    def deadline_ms(self) -> int | None:
        """When time alone changes a state next."""
        if not self.active:
            return None
        times = [
            i.active_at_ms + self.for_ms
            for i in self.active.values()
            if i.state is RuleState.PENDING
        ]
        times += [
            i.kept_since_ms + self.keep_firing_for_ms
            for i in self.active.values()
            if i.kept_since_ms is not None
        ]
        return min(times, default=None)

    def triggers(self, state: RuleState, now_ms: int) -> list[Trigger]:
        """Every instance in a state."""
        return [self._trigger(i, now_ms) for i in self.active.values() if i.state is state]

    def _found(self, store: Store, now_ms: int) -> dict[Labels, Instance]:
        seen = Seen()
        found: dict[Labels, Instance] = {}
        for labels, value in self.expr.evaluate(Context(store, now_ms, None, seen)):
            fill = Fill(dict(labels), value, self.external_labels)
            mine = {k: v for k, v in labels if k != METRIC_NAME}
            mine.update((name, t.render(fill)) for name, t in self.labels.items())
            mine[ALERT_NAME] = self.name
            key = labels_of(mine)
            if key in found:
                raise EvaluationError(
                    "vector contains metrics with the same labelset after applying alert labels"
                )
            annotations = {name: t.render(fill) for name, t in self.annotations.items()}
            found[key] = Instance(
                key, annotations, value, RuleState.PENDING, now_ms,
                event_time_ms=seen.newest_behind(labels),
            )  # fmt: skip
        return found

    def _renewed(self, fresh: Instance, now_ms: int) -> Trigger | None:
        """The expression holds."""
        instance = self.active.get(fresh.labels)
        was = None if instance is None else instance.state
        if instance is None:
            instance = self.active[fresh.labels] = fresh
            self._recall(instance, now_ms)
        instance.seen_at_ms = now_ms
        instance.value, instance.annotations = fresh.value, fresh.annotations
        instance.event_time_ms = fresh.event_time_ms
        instance.kept_since_ms = None
        if instance.state is RuleState.PENDING and now_ms - instance.active_at_ms >= self.for_ms:
            instance.state = RuleState.FIRING
            if instance.fired_at_ms is None:
                instance.fired_at_ms = now_ms
        return None if instance.state is was else self._trigger(instance, now_ms)

    def _recall(self, instance: Instance, now_ms: int) -> None:
        if self.memory is None:
            return
        before = self.memory.recall(instance.labels, now_ms, for_ms=self.for_ms)
        if before is not None:
            instance.active_at_ms, instance.fired_at_ms = before.active_at_ms, before.fired_at_ms

    def _missed(self, instance: Instance, now_ms: int) -> Trigger | None:
        """The expression no longer holds."""
        if self._is_kept(instance, now_ms):
            if instance.kept_since_ms is None:
                instance.kept_since_ms = now_ms
            return None
        del self.active[instance.labels]
        instance.state = RuleState.INACTIVE
        return self._trigger(instance, now_ms)

    def _is_kept(self, instance: Instance, now_ms: int) -> bool:
        if instance.state is not RuleState.FIRING or not self.keep_firing_for_ms:
            return False
        since = now_ms if instance.kept_since_ms is None else instance.kept_since_ms
        return now_ms - since < self.keep_firing_for_ms

    def _write(self, store: Store, now_ms: int) -> None:
        """`ALERTS` and `ALERTS_FOR_STATE` of what is active, and the end of what was."""
        written: set[Labels] = set()
        for instance in self.active.values():
            mine = dict(instance.labels)
            since = dict(mine, **{METRIC_NAME: ALERTS_FOR_STATE})
            now = dict(mine, **{METRIC_NAME: ALERTS, ALERT_STATE: instance.state.value})
            for labels, value in (
                (labels_of(now), 1.0),
                (labels_of(since), float(instance.active_at_ms // 1_000)),
            ):
                if store.write(labels, value, now_ms):
                    written.add(labels)
        for labels in self._written - written:
            store.end(labels, now_ms)
        self._written = written

    def _trigger(self, instance: Instance, now_ms: int) -> Trigger:
        return Trigger(
            rule=self.name,
            group=self.group,
            state=instance.state,
            labels=instance.labels,
            annotations=instance.annotations,
            value=instance.value,
            active_at_ms=instance.active_at_ms,
            fired_at_ms=instance.fired_at_ms,
            evaluated_at_ms=now_ms,
            event_time_ms=instance.event_time_ms,
            expr=self.expr.text,
        )
