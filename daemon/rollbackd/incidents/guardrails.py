"""Reasons not to act, asked in order before the first act. Each is a pure function.

A guardrail returns its reason, or None when it has nothing against acting.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from rollbackd.model.decisions import Reason
from rollbackd.model.events import KnownGood
from rollbackd.model.incidents import Incident
from rollbackd.model.labels import Scope
from rollbackd.model.policy import BranchPolicy, Budget, DecisionTree
from rollbackd.model.triggers import Trigger


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a guardrail may look at.

    `recent` holds incidents of all scopes, at least as far back as the longest budget or cooldown.
    `trigger` is None when a person pulls.
    """

    now_ms: int
    scope: Scope
    policy: BranchPolicy
    tree: DecisionTree
    trigger: Trigger | None
    paused: bool
    known_good: KnownGood | None
    recent: Sequence[Incident]


Guardrail = Callable[[Situation], Reason | None]


def paused(situation: Situation) -> Reason | None:
    """An operator stopped all automation."""
    return Reason.PAUSED if situation.paused else None


def observe_mode(situation: Situation) -> Reason | None:
    """The branch, or the whole tree, only observes."""
    observing = "observe" in {situation.policy.mode, situation.tree.mode}
    return Reason.OBSERVE_MODE if observing else None


def stale_data(situation: Situation) -> Reason | None:
    """The newest data that the rule read is older than the branch's `max_event_age`.

    A backlog after an outage must not pull levers for a fault that may be long over.
    """
    trigger = situation.trigger
    if trigger is None or trigger.event_time_ms is None:
        return None
    age_ms = situation.now_ms - trigger.event_time_ms
    return Reason.STALE_DATA if age_ms > situation.policy.max_event_age_ms else None


def no_known_good(situation: Situation) -> Reason | None:
    """The branch moves a pointer back, but nobody recorded to what."""
    if not situation.policy.needs_known_good or situation.known_good is not None:
        return None
    return Reason.NO_KNOWN_GOOD


def cooldown(situation: Situation) -> Reason | None:
    """The branch acted on this scope less than its cooldown ago."""
    ended = [
        each.closed_at_ms or each.entered_at_ms
        for each in situation.recent
        if each.acted and each.scope == situation.scope and each.branch == situation.policy.branch
    ]
    since_ms = situation.now_ms - max(ended, default=0)
    return Reason.COOLDOWN if ended and since_ms < situation.policy.cooldown_ms else None


def budget_spent(situation: Situation) -> Reason | None:
    """The branch's budget for this scope, or the global budget, is used up."""
    acted = [each for each in situation.recent if each.acted]
    here = [
        each
        for each in acted
        if each.scope == situation.scope and each.branch == situation.policy.branch
    ]
    spent = _spent(here, situation.policy.budget, situation.now_ms) or _spent(
        acted, situation.tree.global_budget, situation.now_ms
    )
    return Reason.BUDGET_SPENT if spent else None


#: In the order of asking: what a person said comes first.
GUARDRAILS: Final[tuple[Guardrail, ...]] = (
    paused,
    observe_mode,
    stale_data,
    no_known_good,
    cooldown,
    budget_spent,
)

#: Before a branch of higher priority takes an open incident over.
GUARDRAILS_OF_A_TAKEOVER: Final[tuple[Guardrail, ...]] = (
    paused,
    observe_mode,
    stale_data,
    no_known_good,
)

#: A person who pulls overrides what protects from the machine's own eagerness.
GUARDRAILS_OF_A_PULL: Final[tuple[Guardrail, ...]] = (no_known_good,)


def first_objection(
    situation: Situation, guardrails: Sequence[Guardrail] = GUARDRAILS
) -> Reason | None:
    """The reason of the first guardrail that says no, or None."""
    return next((r for r in (guard(situation) for guard in guardrails) if r is not None), None)


def _spent(incidents: Sequence[Incident], budget: Budget, now_ms: int) -> bool:
    counted = [i for i in incidents if now_ms - i.opened_at_ms < budget.per_ms]
    return len(counted) >= budget.acts
