"""The legal transitions, as one table, and the order of the checklist."""

from typing import Final

from rollbackd.incidents.freezing import freeze_stands
from rollbackd.incidents.ledger import taken
from rollbackd.model.incidents import Incident, State
from rollbackd.model.policy import BranchPolicy

#: Where an incident goes when another branch takes it over, or once a person has approved that.
_TAKEOVER: Final = frozenset(
    {
        State.AWAITING_APPROVAL,
        State.FREEZING,
        State.CHOOSING,
        State.ROTATING,
        State.THROTTLING,
    }
)
#: What may follow once something was done: also a person's word, and the unit's.
_ACTING: Final = _TAKEOVER | {
    State.RESTORING,
    State.REVERTING,
    State.NEEDS_HUMAN,
    State.ABORTED,
}

#: From a state, the states that a step may lead to. A state may always stay what it is; what has
#: ended only gets notes. No pair stands here that cannot happen.
TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.DETECTED: frozenset({State.CAPTURING, State.AWAITING_APPROVAL, State.ABORTED}),
    State.AWAITING_APPROVAL: (_TAKEOVER - {State.AWAITING_APPROVAL})
    | {
        State.CAPTURING,
        State.OBSERVED,
        State.REVERTING,
        State.NEEDS_HUMAN,
        State.ABORTED,
    },
    State.CAPTURING: _TAKEOVER | {State.ABORTED},
    State.FREEZING: (_ACTING - {State.FREEZING}) | {State.WATCHING},
    State.CHOOSING: (_ACTING - {State.CHOOSING}) | {State.FLIPPING},
    State.FLIPPING: frozenset(
        {
            State.CHOOSING,
            State.ROTATING,
            State.NEEDS_HUMAN,
            State.ABORTED,
        }
    ),
    State.ROTATING: (_ACTING - {State.ROTATING}) | {State.WATCHING},
    State.THROTTLING: (_ACTING - {State.THROTTLING}) | {State.WATCHING},
    State.WATCHING: _ACTING | {State.ESCALATING, State.FLIPPING},
    State.ESCALATING: _ACTING,
    State.REVERTING: frozenset({State.NEEDS_HUMAN, State.ABORTED}),
    State.RESTORING: frozenset({State.AUDITING, State.REVERTING, State.NEEDS_HUMAN, State.ABORTED}),
    State.AUDITING: frozenset({State.CLOSED, State.REVERTING, State.NEEDS_HUMAN, State.ABORTED}),
    State.NEEDS_HUMAN: (_ACTING - {State.NEEDS_HUMAN}) | {State.CAPTURING},
    State.CLOSED: frozenset(),
    State.OBSERVED: frozenset(),
    State.ABORTED: frozenset(),
}

#: The order that no branch changes; a branch only leaves out what it does not need.
_ORDER: Final = (
    State.CAPTURING,
    State.FREEZING,
    State.CHOOSING,
    State.FLIPPING,
    State.ROTATING,
    State.THROTTLING,
    State.WATCHING,
)
#: Throttle before the flip: 429 storms and tail latency (requirements, K18).
_THROTTLE_FIRST: Final = (
    State.CAPTURING,
    State.FREEZING,
    State.THROTTLING,
    State.CHOOSING,
    State.FLIPPING,
    State.ROTATING,
    State.WATCHING,
)


class IllegalTransitionError(Exception):
    """A step tried a transition that is not in the table: a defect, never an input's fault."""


def check_transition(before: State, after: State) -> None:
    """Raise IllegalTransitionError unless the table allows it."""
    if before is after:
        return
    if after not in TRANSITIONS[before]:
        allowed = ", ".join(sorted(TRANSITIONS[before])) or "nothing"
        raise IllegalTransitionError(
            f"{before} => {after} is not allowed; from {before}: {allowed}"
        )


def check_promises(incident: Incident) -> None:
    """Raise IllegalTransitionError for an incident that must not exist, whatever led to it."""
    broken = ""
    if incident.state is State.FLIPPING and not freeze_stands(incident):
        broken = "a flip without a confirmed freeze (F2)"
    elif incident.state is State.WATCHING and incident.rotation_owed:
        broken = "a watch before the cache was rotated (F1)"
    elif incident.state is State.CLOSED and (taken(incident) or incident.rotation_owed):
        broken = "closed with a measure in force or a rotation owed (F1, F4)"
    elif incident.state is State.CLOSED and incident.evidence is None:
        broken = "closed without evidence (F5)"
    if broken:
        raise IllegalTransitionError(f"incident `{incident.id}`: {broken}")


def next_state(policy: BranchPolicy, state: State) -> State:
    """The state after `state` in which this branch has something to do."""
    order = _THROTTLE_FIRST if policy.throttle_first else _ORDER
    needed = {
        State.FREEZING: policy.freeze is not None,
        State.CHOOSING: bool(policy.levers),
        State.ROTATING: policy.rotate is not None,
        State.THROTTLING: bool(policy.throttle),
        State.WATCHING: True,
    }
    following = order[order.index(state) + 1 :]
    return next(s for s in following if needed.get(s, False))
