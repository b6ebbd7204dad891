"""What the trigger engine says: a rule's state for one label set."""

from enum import StrEnum

import msgspec

from rollbackd.model.labels import Labels


class RuleState(StrEnum):
    """The states of an alert rule instance, as in Prometheus."""

    #: The expression holds, `for` has not passed yet.
    PENDING = "pending"
    #: The expression held for `for`.
    FIRING = "firing"
    #: It no longer holds (and `keep_firing_for` has passed).
    INACTIVE = "inactive"


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """One alert rule instance that changed its state, or is firing.

    `labels` are the result's labels with the rule's own labels and `alertname`; `event_time_ms` is
    the newest sample that the evaluation read (None for expressions over no data).
    """

    rule: str
    group: str
    state: RuleState
    labels: Labels
    annotations: dict[str, str]
    value: float
    active_at_ms: int
    fired_at_ms: int | None = None
    evaluated_at_ms: int
    event_time_ms: int | None = None
    expr: str = ""

    def label(self, name: str) -> str:
        """The value of one label, or an empty string."""
        return dict(self.labels).get(name, "")


class RuleInstance(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of an alert rule, as it is kept over a restart."""

    #: What makes the rule the same one: group, name, expression, durations and labels.
    rule_id: str
    rule: str
    group: str
    labels: Labels
    #: `inactive`: it has ended, and the store forgets it.
    state: RuleState
    active_at_ms: int
    fired_at_ms: int | None = None
    #: When the expression held last.
    seen_at_ms: int

    @property
    def key(self) -> tuple[str, Labels]:
        """What it is told from others by."""
        return self.rule_id, self.labels


class Verdict(StrEnum):
    """Three values, everywhere."""

    GREEN = "green"
    RED = "red"
    #: No data, or too little: never green, never a trigger.
    UNKNOWN = "unknown"


class TargetReading(msgspec.Struct, frozen=True, kw_only=True):
    """One exit target at one time."""

    name: str
    verdict: Verdict
    #: The worst element, or None when there was none.
    value: float | None = None
    bound: float
    #: `below` or `above`.
    direction: str
