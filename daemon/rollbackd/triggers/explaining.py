"""Why a rule fires or does not at a time: its instances, its expression in parts, the words."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rollbackd.model.explanations import (
    ExplainedElement,
    ExplainedInstance,
    ExplainedNode,
    ExplainedSeries,
    Fate,
    RuleExplanation,
    belongs,
    number_of,
)
from rollbackd.model.labels import Labels
from rollbackd.model.triggers import RuleState
from rollbackd.promql.explaining import Feed, Node, explain_expr
from rollbackd.promql.store import Store
from rollbackd.promql.values import keep
from rollbackd.triggers.alerting import AlertRule, Instance
from rollbackd.triggers.building import AnyRule
from rollbackd.triggers.verdicts import no_element, recorded, sentences

#: (rule, labels) -> what became of a firing instance.
FateOf = Callable[[str, Labels], Fate]

_RANKS: Final = (RuleState.FIRING, RuleState.PENDING)


def no_fate(_rule: str, _labels: Labels) -> Fate:
    """Where nobody answers for what fires."""
    return Fate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about a rule."""

    at_ms: int
    #: Label names and values of the scope; empty for all scopes.
    scope_labels: Mapping[str, str]
    scope: str = ""
    #: The names of the labels that make a scope.
    scope_names: tuple[str, ...] = ("service", "region")
    #: How many elements, series and instances are named.
    limit: int = 20
    fate_of: FateOf = no_fate
    #: Whether the instances of the rule are those of `at_ms`.
    instances_known: bool = True
    notes: tuple[str, ...] = ()

    def here(self, labels: Labels) -> bool:
        """Whether a label set belongs to the scope."""
        return belongs(labels, dict(self.scope_labels))


class UnknownRuleError(ValueError):
    """No rule has this name; the message names the nearest one."""


def explain_rules(
    rules: Sequence[AnyRule], name: str, store: Store, question: Question, *, step_ms: int
) -> list[RuleExplanation]:
    """Every rule of this name, in the order of the groups. Raises UnknownRuleError."""
    found = [rule for rule in rules if rule.name == name]
    if not found:
        names = list(dict.fromkeys(rule.name for rule in rules))
        # People type names in lower case; that must not make the right one look far away.
        near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1)
        meant = next((n for n in names if [n.lower()] == near), "")
        hint = f"; did you mean `{meant}`?" if meant else ""
        raise UnknownRuleError(f"no rule is called `{name[:200]}`{hint}")
    return [explain_rule(rule, store, question, step_ms=step_ms) for rule in found]


def explain_rule(
    rule: AnyRule, store: Store, question: Question, *, step_ms: int
) -> RuleExplanation:
    """Everything that is known about one rule at one time."""
    root = explain_expr(rule.expr.text, store, question.at_ms, step_ms=step_ms)
    tree = _Shown(question).node(root)
    if not isinstance(rule, AlertRule):
        return RuleExplanation(
            rule=rule.name,
            group=rule.group,
            kind="record",
            expr=rule.expr.text,
            at_ms=question.at_ms,
            scope=question.scope,
            because=[recorded(root, question.here, question.at_ms, question.scope)],
            notes=list(question.notes),
            tree=tree,
        )
    instances, total = _instances(rule, question)
    because = sentences(instances, total, rule.keep_firing_for_ms, for_ms=rule.for_ms)
    notes = list(question.notes)
    if not because:
        because = [no_element(root, question.here, question.at_ms, question.scope)]
        notes += _several_scopes(root, question)
    return RuleExplanation(
        rule=rule.name,
        group=rule.group,
        kind="alert",
        expr=rule.expr.text,
        at_ms=question.at_ms,
        scope=question.scope,
        for_ms=rule.for_ms,
        keep_firing_for_ms=rule.keep_firing_for_ms,
        state=_state(instances) if question.instances_known else None,
        because=because,
        notes=notes,
        instances=instances,
        instances_total=total,
        tree=tree,
    )


def _state(instances: Sequence[ExplainedInstance]) -> RuleState:
    return instances[0].state if instances else RuleState.INACTIVE


def _instances(rule: AlertRule, question: Question) -> tuple[list[ExplainedInstance], int]:
    """The instances of the scope as they are shown, and how many there are."""
    if not question.instances_known:
        return [], 0
    active = _active(rule, question)
    return [_instance(rule, each, question) for each in active[: question.limit]], len(active)


def _active(rule: AlertRule, question: Question) -> list[Instance]:
    """The instances of the scope, those that fire first."""
    here = [i for i in rule.active.values() if question.here(i.labels)]
    return sorted(here, key=lambda i: (_RANKS.index(i.state), i.active_at_ms, i.labels))


def _several_scopes(root: Node, question: Question) -> list[str]:
    """Elements of different scopes are missing for different reasons."""
    if question.scope:
        return []
    names = frozenset(question.scope_names)
    scopes = {keep(feed.labels, names) for node in root.nodes() for feed in node.feeds} - {()}
    if len(scopes) < 2:
        return []
    return [f"{len(scopes)} scopes feed this rule; ask for one, and the reason is the one there"]


def _instance(rule: AlertRule, instance: Instance, question: Question) -> ExplainedInstance:
    fires = instance.state is RuleState.FIRING
    kept = instance.kept_since_ms
    return ExplainedInstance(
        labels=dict(instance.labels),
        state=instance.state,
        value=number_of(instance.value),
        active_at_ms=instance.active_at_ms,
        held_ms=(question.at_ms if kept is None else kept) - instance.active_at_ms,
        fires_at_ms=None if fires else instance.active_at_ms + rule.for_ms,
        fired_at_ms=instance.fired_at_ms,
        kept_until_ms=None if kept is None else kept + rule.keep_firing_for_ms,
        event_time_ms=instance.event_time_ms,
        fate=question.fate_of(rule.name, instance.labels) if fires else Fate(),
    )


class _Shown:
    """The tree as it is shown: what belongs to the scope first, and no more than the limit."""

    def __init__(self, question: Question) -> None:
        self._question = question

    def node(self, node: Node) -> ExplainedNode:
        here = self._question.here
        own = [e for e in node.elements if here(e[0])]
        others = [e for e in node.elements if not here(e[0])] if len(own) < self._limit else []
        feeds = sorted(node.feeds, key=lambda f: (not here(f.labels), not f.samples))
        return ExplainedNode(
            gist=node.gist,
            text=node.text,
            kind=node.kind,
            elements=[
                ExplainedElement(labels=dict(labels), value=number_of(value))
                for labels, value in (own + others)[: self._limit]
            ],
            total=len(node.elements),
            here=len(own),
            series=[_series(feed) for feed in feeds[: self._limit]],
            series_total=len(feeds),
            silent_since_ms=node.silent_since_ms,
            bound=None if node.bound is None else number_of(node.bound),
            error=node.error,
            children=[self.node(child) for child in node.children],
        )

    @property
    def _limit(self) -> int:
        return self._question.limit


def _series(feed: Feed) -> ExplainedSeries:
    return ExplainedSeries(
        labels=dict(feed.labels),
        samples=feed.samples,
        newest_ms=feed.newest_ms,
        value=None if feed.value is None else number_of(feed.value),
        held=feed.series.held is not None,
    )
