"""The trigger engine: samples and pages in, state changes of rules out.

Pure: time is an argument, so live evaluation, rule tests and backtests are the same code.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rollbackd.model.events import Alert, AlertStatus, Sample
from rollbackd.model.explanations import RuleExplanation
from rollbackd.model.incidents import SeriesWindow
from rollbackd.model.labels import METRIC_NAME, Labels, labels_of
from rollbackd.model.triggers import RuleInstance, RuleState, Trigger
from rollbackd.promql.errors import EvaluationError
from rollbackd.promql.expressions import DEFAULT_STEP_MS, CompiledExpr, compile_expr
from rollbackd.promql.matchers import Selector
from rollbackd.promql.store import IngestResult, Store
from rollbackd.rulefmt.rule_files import RuleFile
from rollbackd.triggers.agenda import Agenda
from rollbackd.triggers.alerting import ACTIVE_STATES, ALERT_STATE, ALERTS, AlertRule
from rollbackd.triggers.building import AnyRule, Group, build_rules, identity_of
from rollbackd.triggers.explaining import Question, explain_rules
from rollbackd.triggers.inputs import reporting, silences
from rollbackd.triggers.memory import Memory, RestorePolicy
from rollbackd.triggers.recorded import reads_of, record_windows, values_within

#: Idle series are looked for this often.
_EXPIRE_EVERY_MS: Final = 30_000
_FOREVER: Final = 1 << 62
#: Expressions of `query` that stay compiled.
_COMPILED_MEMORY: Final = 1_000


@dataclass(slots=True)
class Evaluation:
    """What one round of evaluation found."""

    #: Instances whose state changed, in the order of the rules.
    transitions: list[Trigger] = field(default_factory=list)
    #: Every instance that fires when the round is over; empty before.
    firing: list[Trigger] = field(default_factory=list)
    #: (rule, message) of rules that could not be evaluated; their instances stay as they were.
    failures: list[tuple[str, str]] = field(default_factory=list)
    #: How many rules were evaluated.
    evaluated: int = 0


class Engine:
    """Rules with their series. Build it, feed it, and evaluate when `next_due_ms` says so."""

    def __init__(
        self, rules: list[AnyRule], groups: list[Group], store: Store, *, step_ms: int
    ) -> None:
        self._rules = rules
        self._groups = groups
        self._store = store
        self._agenda = Agenda(groups, store)
        self._step_ms = step_ms
        self._compiled: dict[str, CompiledExpr] = {}
        self._pins: dict[Labels, float] = {}
        self._alerts: dict[Labels, tuple[Alert, int | None]] = {}
        self._expire_at_ms = 0

    @classmethod
    def build(
        cls,
        rule_files: Sequence[RuleFile],
        *,
        targets: Sequence[str] = (),
        lateness_ms: int = 5_000,
        max_series: int = 100_000,
        ahead_ms: int = 600_000,
        default_interval_ms: int = 15_000,
        step_ms: int = DEFAULT_STEP_MS,
        retain_ms: int = 0,
        external_labels: Mapping[str, str] | None = None,
    ) -> "Engine":
        """Compile every rule.

        `targets` are further expressions whose series are kept. `lateness_ms` is how far out of
        order a series may be, `ahead_ms` how far in the future a sample may lie,
        `default_interval_ms` the evaluation interval of groups that name none, `step_ms` that of
        subqueries that name none, `retain_ms` the least time that any sample is kept.
        Raises DocumentError with every mistake in the files and the targets.
        """
        built = build_rules(
            rule_files,
            targets=targets,
            interval_ms=default_interval_ms,
            step_ms=step_ms,
            external_labels=external_labels or {},
        )
        store = Store(
            lateness_ms=lateness_ms, ahead_ms=ahead_ms, max_series=max_series, retain_ms=retain_ms
        )
        for index, rule in enumerate(built.rules):
            for selector, window_ms in rule.expr.reads:
                store.register(selector, window_ms=window_ms, rule=index)
        engine = cls(built.rules, built.groups, store, step_ms=step_ms)
        for target in built.targets:
            engine._compiled[target.text] = target
            for selector, window_ms in target.reads:
                store.register(selector, window_ms=window_ms)
        return engine

    @property
    def dirty(self) -> bool:
        """Whether something that a rule reads has changed since the last evaluation."""
        return self._agenda.dirty

    @property
    def series_count(self) -> int:
        """Series held in memory."""
        return len(self._store)

    @property
    def sample_count(self) -> int:
        """Samples held in memory."""
        return self._store.samples

    @property
    def longest_window_ms(self) -> int:
        """How far back the furthest selector looks: what a restart has to refill."""
        return self._store.longest_window_ms

    @property
    def rule_names(self) -> list[tuple[str, str]]:
        """(group, rule) in the order of evaluation."""
        return [(rule.group, rule.name) for rule in self._rules]

    def ingest(self, samples: Iterable[Sample], now_ms: int, origin: str = "") -> IngestResult:
        """Take samples; `now_ms` is the wall clock, or the stream's time while catching up.

        `origin` is what `drop_origin` knows them by, e.g. the partition of a topic.
        """
        return self._store.ingest(samples, now_ms, origin)

    def drop_origin(self, origin: str) -> int:
        """Forget every series that only this origin has fed; returns how many."""
        return self._store.drop_origin(origin)

    def set_alert(self, alert: Alert, seen_at_ms: int | None = None) -> bool:
        """Begin or end `ALERTS{alertstate="firing", ...}`; False when no rule reads it.

        `seen_at_ms` is when the notice arrived: it is the event time of rules that read the page.
        """
        name = {METRIC_NAME: ALERTS, ALERT_STATE: RuleState.FIRING.value}
        labels = labels_of({**alert.labels, **name})
        if alert.status is AlertStatus.FIRING:
            self._alerts[labels] = (alert, seen_at_ms)
        held = self._store.held(labels, is_data=True)
        if held is None:
            self._alerts.pop(labels, None)
            return False
        seen = alert.starts_at_ms if seen_at_ms is None else seen_at_ms
        held.seen_ms = max(held.seen_ms, seen)
        if alert.status is AlertStatus.FIRING:
            start = min(alert.starts_at_ms, seen)
            if not held.intervals or held.intervals[-1][1] != _FOREVER:
                held.intervals.append((start, _FOREVER, 1.0))
            return True
        end = alert.starts_at_ms + 1 if alert.ends_at_ms is None else alert.ends_at_ms
        if held.intervals and held.intervals[-1][0] <= end:
            start = held.intervals[-1][0]
            held.intervals[-1] = (start, min(max(end, start + 1), held.intervals[-1][1]), 1.0)
            self._alerts.pop(labels, None)
        return True

    def pin(self, labels: Labels, value: float) -> bool:
        """Set a series that never goes stale, e.g. a baseline; False when nobody reads it."""
        self._pins[labels] = value
        held = self._store.held(labels, is_data=False)
        if held is None:
            return False
        held.intervals = [(-_FOREVER, _FOREVER, value)]
        return True

    def unpin(self, labels: Labels) -> None:
        """Take a pinned series away again; what compares with it then has nothing to go by."""
        if self._pins.pop(labels, None) is not None:
            held = self._store.held(labels, is_data=False)
            if held is not None:
                held.intervals = []

    def next_due_ms(self, now_ms: int) -> int:
        """When to evaluate next if nothing changes before; not before `now_ms`."""
        return self._agenda.next_due_ms(now_ms, at_most_ms=_EXPIRE_EVERY_MS)

    def evaluate(self, now_ms: int, *, force: bool = False) -> Evaluation:
        """Evaluate what changed and what is due, or with `force` every rule, in order."""
        *_, evaluation = self.evaluating(now_ms, force=force)
        return evaluation

    def evaluating(self, now_ms: int, *, force: bool = False) -> Iterator[Evaluation]:
        """The same with a pause after each rule, in which anything may be done with the engine.

        Gives the one evaluation that grows from rule to rule. Whoever stops before the end has in
        it what was found so far; the other rules are then left out of this round.
        """
        queue = sorted(self._agenda.due(now_ms, force=force))
        queued = set(queue)
        evaluation = Evaluation()
        while queue:
            index = heapq.heappop(queue)
            evaluation.evaluated += 1
            try:
                evaluation.transitions += self._evaluate(index, now_ms)
            except EvaluationError as error:
                evaluation.failures.append((self._rules[index].name, str(error)))
            yield evaluation
            for later in self._agenda.changed():
                if later > index and later not in queued:
                    heapq.heappush(queue, later)
                    queued.add(later)
                elif later <= index and not force:
                    self._agenda.leave(later)
        if now_ms >= self._expire_at_ms or now_ms < self._expire_at_ms - _EXPIRE_EVERY_MS:
            self._store.expire(now_ms)
            self._expire_at_ms = now_ms + _EXPIRE_EVERY_MS
        evaluation.firing = self.instances(RuleState.FIRING, now_ms)
        yield evaluation

    def instances(self, state: RuleState, now_ms: int) -> list[Trigger]:
        """Every instance in a state, in the order of the rules."""
        return [
            trigger
            for rule in self._rules
            if isinstance(rule, AlertRule) and rule.active
            for trigger in rule.triggers(state, now_ms)
        ]

    def rule_instances(self) -> list[RuleInstance]:
        """Every pending and firing instance, as it is kept over a restart."""
        rules = (rule for rule in self._rules if isinstance(rule, AlertRule))
        return [instance for rule in rules for instance in rule.instances()]

    def active_counts(self) -> Iterator[tuple[str, RuleState, int]]:
        """(rule, pending or firing, how many instances) of every alert rule."""
        for rule in self._rules:
            if isinstance(rule, AlertRule):
                states = [instance.state for instance in rule.active.values()]
                yield from ((rule.name, state, states.count(state)) for state in ACTIVE_STATES)

    def restore(self, instances: Iterable[RuleInstance], policy: RestorePolicy) -> None:
        """Before the first evaluation: what was pending or firing before a restart.

        An instance goes on when its expression holds again, and until `settle` has been called
        and another interval of its group has passed. Rules that changed start anew.
        """
        known: dict[str, list[RuleInstance]] = {}
        for instance in instances:
            known.setdefault(instance.rule_id, []).append(instance)
        for rule in self._rules:
            if isinstance(rule, AlertRule) and rule.for_ms >= policy.grace_ms:
                found = known.get(rule.id, ())
                rule.memory = Memory(found, policy) if found else None

    def settle(self, now_ms: int) -> None:
        """The windows are full again: what does not hold after one more interval had ended."""
        for group in self._groups:
            for index in group.rules:
                rule = self._rules[index]
                if isinstance(rule, AlertRule) and rule.memory is not None:
                    rule.memory.until_ms = now_ms + group.interval_ms

    @property
    def restoring(self) -> bool:
        """Whether an instance from before a restart may still go on."""
        return any(isinstance(r, AlertRule) and r.memory is not None for r in self._rules)

    def compile(self, expr: str) -> CompiledExpr:
        """Compile an expression for `query`. Raises ValueError."""
        known = self._compiled.get(expr)
        if known is None:
            if len(self._compiled) >= _COMPILED_MEMORY:
                self._compiled.clear()
            known = self._compiled[expr] = compile_expr(expr, step_ms=self._step_ms)
        return known

    def query(
        self, compiled: CompiledExpr, now_ms: int, since_ms: int | None = None
    ) -> list[tuple[Labels, float]]:
        """The elements at a time, on samples not older than `since_ms`.

        Only series that a rule or a target reads are there to be found. Raises ValueError when the
        expression cannot be evaluated, e.g. for many-to-many matching.
        """
        return compiled.query(self._store, now_ms, since_ms)

    def explain(self, rule: str, question: Question) -> list[RuleExplanation]:
        """Why the rules of this name fire or do not. Raises UnknownRuleError.

        The windows reach back as far as the rules look, so a time in the past may find them cut
        short; a note says so.
        """
        return explain_rules(self._rules, rule, self._store, question, step_ms=self._step_ms)

    def windows(
        self, triggers: Iterable[Trigger], now_ms: int, keeps: Callable[[Labels], bool]
    ) -> tuple[list[SeriesWindow], int]:
        """What the rules of these triggers read; see `recorded`. Raises ValueError."""
        reads = reads_of(triggers, self._rules, self.compile)
        return record_windows(self._store, reads, now_ms, keeps)

    def values(
        self, selector: Selector, start_ms: int, end_ms: int, keeps: Callable[[Labels], bool]
    ) -> list[float]:
        """Every sample of a closed range, over all series that a selector matches and are kept."""
        return values_within(self._store, selector, start_ms, end_ms, keeps)

    def silences(self, now_ms: int) -> list[tuple[str, str, int]]:
        """(rule, selector, for how many milliseconds it has matched nothing), 0 while it does."""
        return silences(self._store, self._rules, now_ms)

    def reporting(self, now_ms: int, rule: str | None = None) -> Iterator[tuple[str, list[Labels]]]:
        """Every selector, of one rule or of all, with those of its series that report."""
        return reporting(self._store, self._rules, now_ms, rule)

    def carry_over(self, old: "Engine") -> None:
        """Take over what survives a reload; `old` must not be used afterwards.

        Series that are still read, pins, pages, and the instances of rules that did not change.
        """
        old._hand_over(self)  # noqa: SLF001  # the same class

    def _hand_over(self, fresh: "Engine") -> None:
        fresh._store.take_over(self._store)  # noqa: SLF001
        for labels, value in self._pins.items():
            fresh.pin(labels, value)
        for alert, seen_at_ms in self._alerts.values():
            fresh.set_alert(alert, seen_at_ms)
        known = {identity_of(rule): rule for rule in self._rules}
        for index, rule in enumerate(fresh._rules):  # noqa: SLF001
            same = known.get(identity_of(rule))
            if same is not None:
                rule.take_over(same)
            if isinstance(rule, AlertRule):
                fresh._agenda.set_deadline(index, rule.deadline_ms())  # noqa: SLF001

    def _evaluate(self, index: int, now_ms: int) -> list[Trigger]:
        rule = self._rules[index]
        if isinstance(rule, AlertRule):
            transitions = rule.evaluate(self._store, now_ms)
            self._agenda.set_deadline(index, rule.deadline_ms())
            return transitions
        rule.evaluate(self._store, now_ms)
        return []
