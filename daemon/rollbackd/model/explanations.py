"""Why a rule fires or does not: what each part of it gave, and the reason in words."""

import math

import msgspec

from rollbackd.model.decisions import Reason
from rollbackd.model.labels import Labels
from rollbackd.model.triggers import RuleState

#: JSON has no NaN and no infinities: those are the words that Prometheus reads.
Number = float | str


def number_of(value: float) -> Number:
    """A value as JSON can carry it."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Inf" if value > 0 else "-Inf"


class ExplainedElement(msgspec.Struct, frozen=True, kw_only=True):
    """One element that a part of the expression gave."""

    labels: dict[str, str]
    value: Number


class ExplainedSeries(msgspec.Struct, frozen=True, kw_only=True):
    """One series that a selector matches, with what the selector saw of it."""

    labels: dict[str, str]
    #: Samples inside the window, or inside the lookback of an instant selector.
    samples: int
    #: When the newest of them was; of a series without any, when its last one was.
    newest_ms: int | None = None
    value: Number | None = None
    #: It holds without samples: a pinned baseline or a page.
    held: bool = False


class ExplainedNode(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an expression; the lists are bounded, the totals are not."""

    #: What this part does, without its operands: `>= 200`, `sum by (service) (...)`.
    gist: str
    #: The part as PromQL.
    text: str
    #: `vector`, `scalar` or `range`.
    kind: str
    elements: list[ExplainedElement] = []
    #: How many elements there are, and how many of them belong to the scope.
    total: int = 0
    here: int = 0
    series: list[ExplainedSeries] = []
    series_total: int = 0
    #: Since when the selector has matched no series at all, where that is known.
    silent_since_ms: int | None = None
    #: The number that its operand is compared with.
    bound: Number | None = None
    #: Why it could not be evaluated.
    error: str = ""
    children: list["ExplainedNode"] = []


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a firing instance: an incident, or the reason for none."""

    incident_id: str = ""
    reason: Reason | None = None


class ExplainedInstance(msgspec.Struct, frozen=True, kw_only=True):
    """One label set of an alert rule that is pending or firing."""

    labels: dict[str, str]
    state: RuleState
    value: Number
    active_at_ms: int
    #: How long the expression has held.
    held_ms: int
    #: When it fires if the expression goes on holding; None once it fires.
    fires_at_ms: int | None = None
    fired_at_ms: int | None = None
    #: Until when it fires by `keep_firing_for` alone; None while the expression holds.
    kept_until_ms: int | None = None
    #: The newest sample behind it.
    event_time_ms: int | None = None
    fate: Fate = Fate()


class RuleExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """One rule at one time."""

    rule: str
    group: str
    kind: str
    expr: str
    at_ms: int
    scope: str = ""
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    #: Of the instances of the scope, the furthest on; None for a recording rule, and where it is
    #: not known.
    state: RuleState | None = None
    #: The reason in words, one sentence an instance.
    because: list[str]
    #: What makes the answer less than certain.
    notes: list[str] = []
    instances: list[ExplainedInstance] = []
    instances_total: int = 0
    tree: ExplainedNode


def belongs(labels: Labels, scope_labels: dict[str, str]) -> bool:
    """Whether a label set does not contradict the labels of a scope."""
    return all(scope_labels.get(name, value) == value for name, value in labels)
