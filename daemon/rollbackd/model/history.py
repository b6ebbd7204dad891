"""What became of earlier triggers, in the few words that guardrails need of it."""

import msgspec

from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, State
from rollbackd.model.labels import Scope


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that was opened to act, in short; one that a guardrail refused is none."""

    incident_id: str
    scope: Scope
    #: The branch that it follows, after those that it left when it was taken over.
    branches: list[str]
    #: The rules that it answers for; none when a person pulled.
    rules: list[str]
    #: The levers that it has moved so far, each once.
    levers: list[str]
    opened_at_ms: int
    #: None while it is open.
    ended_at_ms: int | None
    state: State
    reason: Reason
    #: Whether anything was moved on its behalf.
    acted: bool
    #: When its pointer was last flipped and read back.
    flipped_at_ms: int | None
    #: When every exit target had been green for the hold.
    green_at_ms: int | None

    @property
    def is_open(self) -> bool:
        """Whether it may still act."""
        return self.ended_at_ms is None

    @property
    def helped(self) -> bool:
        """Whether it was carried through to the end, and green was seen on the way."""
        return self.state is State.CLOSED and self.green_at_ms is not None


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """A rule began to fire for a scope, whatever became of it."""

    scope: Scope
    rule: str
    at_ms: int


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """Automation stays its hand until a person resets it.

    `branch` is empty when every branch of the scope is held. A latch that was released is kept:
    what had happened before its release counts no more.
    """

    scope: Scope
    branch: str
    reason: Reason
    since_ms: int
    #: What had happened, in words.
    because: str = ""
    released_at_ms: int | None = None
    released_by: str = ""

    @property
    def holds(self) -> bool:
        """Whether nobody has released it."""
        return self.released_at_ms is None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What the store remembers for the guardrails, seen at one point in time."""

    acts: list[Act] = []
    trips: list[Trip] = []
    latches: list[Latch] = []
    #: How many scopes have a known good set or ever had an incident.
    scopes: int = 0


def act_of(incident: Incident) -> Act:
    """The incident in short."""
    ended = incident.closed_at_ms or incident.entered_at_ms
    return Act(
        incident_id=incident.id,
        scope=incident.scope,
        branches=[*incident.branches_left, incident.branch],
        rules=sorted({trigger.rule for trigger in incident.triggers}),
        levers=sorted({receipt.target.lever for receipt in incident.receipts}),
        opened_at_ms=incident.opened_at_ms,
        ended_at_ms=None if incident.is_open else ended,
        state=incident.state,
        reason=incident.reason,
        acted=incident.acted,
        flipped_at_ms=incident.flipped_at_ms,
        green_at_ms=incident.green_at_ms,
    )


def trip_of(incident: Incident) -> Trip | None:
    """The trip that an incident was opened for; None when a person pulled."""
    if not incident.triggers:
        return None
    first = incident.triggers[0]
    at_ms = incident.opened_at_ms if first.fired_at_ms is None else first.fired_at_ms
    return Trip(scope=incident.scope, rule=first.rule, at_ms=at_ms)
