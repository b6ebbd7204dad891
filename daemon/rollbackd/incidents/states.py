"""The legal transitions, as one table, and the order of the checklist."""

from typing import Final

from rollbackd.model.incidents import TERMINAL, State
from rollbackd.model.policy import BranchPolicy

_PEOPLE: Final = frozenset({State.NEEDS_HUMAN, State.ABORTED})
#: Where an incident goes when another branch takes it over.
_TAKEOVER: Final = frozenset({State.FREEZING, State.CHOOSING, State.ROTATING, State.THROTTLING})
#: What may follow once there is something to give back: also a person's word to do so.
_ACTING: Final = _TAKEOVER | _PEOPLE | {State.RESTORING}

#: From a state, the states that a step may lead to. A state may always stay what it is.
TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.DETECTED: frozenset({State.CAPTURING, State.AWAITING_APPROVAL, State.OBSERVED}) | _PEOPLE,
    State.AWAITING_APPROVAL: frozenset({State.CAPTURING, State.OBSERVED}) | _PEOPLE,
    State.CAPTURING: frozenset({State.WATCHING}) | _TAKEOVER | _PEOPLE,
    State.FREEZING: frozenset({State.WATCHING}) | _ACTING,
    State.CHOOSING: frozenset({State.FLIPPING, State.WATCHING}) | _ACTING,
    State.FLIPPING: frozenset({State.WATCHING}) | _ACTING,
    State.ROTATING: frozenset({State.WATCHING}) | _ACTING,
    State.THROTTLING: frozenset({State.WATCHING}) | _ACTING,
    State.WATCHING: frozenset({State.ESCALATING}) | _ACTING,
    State.ESCALATING: _ACTING,
    State.RESTORING: frozenset({State.AUDITING}) | _PEOPLE,
    State.AUDITING: frozenset({State.CLOSED}) | _PEOPLE,
    State.NEEDS_HUMAN: _ACTING,
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
    if before is after and before not in TERMINAL:
        return
    if after not in TRANSITIONS[before]:
        allowed = ", ".join(sorted(TRANSITIONS[before])) or "nothing"
        raise IllegalTransitionError(
            f"{before} => {after} is not allowed; from {before}: {allowed}"
        )


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
