"""What a backtest found, as values: the JSON report is these, the other reports show them."""

from enum import StrEnum

import msgspec

from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import State
from rollbackd.model.triggers import RuleState


class Moved(StrEnum):
    """What would have become of one lever call."""

    #: It would have been moved.
    WOULD_MOVE = "would_move"
    #: It stands as wanted already.
    NOTHING_TO_MOVE = "nothing_to_move"
    #: The lever would have said no.
    REFUSED = "refused"


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One lever call in dry run. `before` is None where the recording does not say."""

    at_ms: int
    #: The step of the checklist, e.g. `freezing`; the flip is prepared in `choosing`.
    step: State
    lever: str
    name: str
    moved: Moved
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None
    note: str = ""


class PinChange(msgspec.Struct, frozen=True, kw_only=True):
    """A pin that the suspect arm ran with and the known good set does not have so."""

    name: str
    known_good: str
    seen: str


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """Another trigger that fired while the incident was open."""

    at_ms: int
    rule: str
    branch: str
    value: float
    #: False: a lower branch, or too late; it is looked at again when the incident has ended.
    answered: bool


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One time that the daemon would have acted, or that a guardrail would have said no."""

    number: int
    at_ms: int
    #: When its rule began to fire; earlier than `at_ms` when something stood in the way.
    fired_at_ms: int
    scope: str
    #: The branch that it opened with; `branches` also has those that took over.
    branch: str
    branches: list[str]
    rule: str
    value: float
    labels: dict[str, str]
    expr: str
    summary: str = ""
    #: `trigger_fired`, or the guardrail that said no.
    reason: Reason
    #: How the dry run ended; None while the recording ended first.
    outcome: State | None = None
    acts: list[Act] = []
    changed_pins: list[PinChange] = []
    joined: list[Joined] = []
    #: When it counts as closed, or the end of the recording.
    until_ms: int
    #: When the cooldown of its branch ends; None when nothing would have been moved.
    cooldown_until_ms: int | None = None

    @property
    def would_act(self) -> bool:
        """Whether no guardrail said no."""
        return self.reason is Reason.TRIGGER_FIRED

    @property
    def calls(self) -> bool:
        """Whether it is the rules' own word: it acts, or only an observing tree holds it back."""
        return self.would_act or self.reason is Reason.OBSERVE_MODE


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of a rule that changed its state."""

    at_ms: int
    rule: str
    state: RuleState
    #: Empty when the labels name none.
    scope: str
    branch: str
    value: float
    labels: dict[str, str]


class Ignored(msgspec.Struct, frozen=True, kw_only=True):
    """A firing trigger that opened nothing and was not written down either."""

    at_ms: int
    rule: str
    scope: str
    reason: Reason


class BadInput(msgspec.Struct, frozen=True, kw_only=True):
    """A line or record that could not be used; `place` is `file:line` or `topic[0]@offset`."""

    place: str
    reason: str


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch without any event, so long that nothing can change in it any more."""

    from_ms: int
    to_ms: int


class RuleFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that could not be evaluated, e.g. over its `limit`; its instances stayed as before."""

    rule: str
    message: str
    first_at_ms: int
    times: int


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """What was read."""

    sources: list[str]
    from_ms: int
    to_ms: int
    #: Lines or records that were used.
    events: int
    samples: int
    #: Those that said nothing: no entry of the mapping takes them, or they carry no value.
    ignored: int = 0
    bad: int
    #: The first of the bad ones.
    bad_inputs: list[BadInput] = []
    #: Samples that the engine did not keep, by reason, except those that no rule reads.
    refused: dict[str, int] = {}
    gaps: list[Gap] = []


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One element of a rule's expression over time; None in `values` is no data."""

    labels: dict[str, str]
    times_ms: list[int]
    values: list[float | None]


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """What one alert rule looked at: `expr` beside `threshold`, or the rule's own value."""

    rule: str
    expr: str
    #: `>`, `<=`, ...; empty without a threshold.
    symbol: str = ""
    threshold: float | None = None
    lines: list[Line] = []


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole of it. Every list is in the order of time."""

    input: Input
    rules: list[str]
    transitions: list[Transition]
    decisions: list[Decision]
    ignored: list[Ignored] = []
    failures: list[RuleFailure] = []
    evaluations: int = 0
    curves: list[Curve] = []
