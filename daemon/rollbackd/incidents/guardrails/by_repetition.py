"""How often it was done lately, and whether it helped."""

from msgspec.structs import replace

from rollbackd.incidents.guardrails.situation import Objection, Situation, shown_ms
from rollbackd.model.decisions import Reason
from rollbackd.model.history import Act, Latch
from rollbackd.model.policy import BranchPolicy, Budget


def cooldown(situation: Situation) -> Objection | None:
    """The branch acted on this scope less than its cooldown ago, counted from the end.

    An incident that another branch took over counts for every branch that it followed.
    """
    policy = situation.policy
    ended = [
        act.ended_at_ms
        for act in situation.acts_here
        if act.ended_at_ms is not None and policy.branch in act.branches
    ]
    since_ms = situation.now_ms - max(ended, default=0)
    if not ended or since_ms >= policy.cooldown_ms:
        return None
    because = (
        f"branch `{policy.branch}` acted on {situation.scope} {shown_ms(max(since_ms, 0))} ago;"
        f" its cooldown is {shown_ms(policy.cooldown_ms)}"
    )
    return Objection(reason=Reason.COOLDOWN, because=because)


def scope_budget_spent(situation: Situation) -> Objection | None:
    """The branch has acted on this scope as often as it may."""
    here, policy = situation.scope, situation.policy
    acts = [
        act for act in situation.history.acts if act.scope == here and policy.branch in act.branches
    ]
    return _spent(situation, acts, policy.budget, f"of branch `{policy.branch}` on {here}")


def rule_budget_spent(situation: Situation) -> Objection | None:
    """The rule has led to as many acts as it may, over all scopes."""
    if situation.trigger is None:
        return None
    rule = situation.trigger.rule
    acts = [act for act in situation.history.acts if rule in act.rules]
    return _spent(situation, acts, situation.policy.rule_budget, f"of rule `{rule}`")


def lever_budget_spent(situation: Situation) -> Objection | None:
    """A lever that the branch cannot do without was moved as often as it may, over all scopes.

    Of several pointers one with budget left is enough; `within_budget` strikes the others off. A
    limit is dispensable where a pointer is moved.
    """
    policy = situation.policy
    needed = [[call.lever] for call in (policy.freeze, policy.rotate) if call is not None]
    needed += [[call.lever for call in policy.levers]] if policy.levers else []
    if not policy.levers:
        needed += [[call.lever for call in policy.throttle]] if policy.throttle else []
    for choices in needed:
        objections = [_lever_spent(situation, lever) for lever in choices]
        if all(objections):
            return objections[0]
    return None


def global_budget_spent(situation: Situation) -> Objection | None:
    """The daemon has acted as often as it may, over everything."""
    return _spent(
        situation, situation.history.acts, situation.tree.global_budget, "of the whole daemon"
    )


def within_budget(situation: Situation) -> BranchPolicy:
    """The branch without the pointers whose levers have no budget left."""
    left = [call for call in situation.policy.levers if not _lever_spent(situation, call.lever)]
    return replace(situation.policy, levers=left)


def ineffective_chain(situation: Situation) -> Objection | None:
    """The last acts on this scope, one after the other, did not help.

    Only an incident that was green for its hold and was closed breaks the chain; one that was
    merely brought to an end does not. Once latched it takes a person.
    """
    latch = situation.latch("")
    if latch is not None and latch.holds:
        return Objection(reason=Reason.INEFFECTIVE_CHAIN, because=latch.because)
    chain, since_ms = situation.tree.ineffective_chain, _counted_since(latch)
    row = 0
    for act in reversed(situation.acts_here):
        recent = situation.now_ms - (act.ended_at_ms or 0) < chain.within_ms
        if act.is_open:
            continue
        if act.helped or not recent or act.opened_at_ms <= since_ms:
            break
        row += 1
    if row < chain.times:
        return None
    because = f"the last {row} acts on {situation.scope} did not end green"
    return Objection(reason=Reason.INEFFECTIVE_CHAIN, because=because)


def flap_latch(situation: Situation) -> Objection | None:
    """The scope was flipped so often along this branch that something turns it back each time.

    A branch that moves no pointer counts from when its incidents were opened.
    """
    policy, limit = situation.policy, situation.tree.flap_latch
    latch = situation.latch(policy.branch)
    if latch is not None and latch.holds:
        return Objection(reason=Reason.FLAP_LATCH, because=latch.because)
    since_ms = max(situation.now_ms - limit.within_ms, _counted_since(latch))
    flips = [
        moment
        for act in situation.acts_here
        if policy.branch in act.branches
        and (moment := act.opened_at_ms if act.flipped_at_ms is None else act.flipped_at_ms)
        > since_ms
    ]
    if len(flips) < limit.times:
        return None
    because = (
        f"branch `{policy.branch}` was pulled {len(flips)} times on {situation.scope} within"
        f" {shown_ms(limit.within_ms)}"
    )
    return Objection(reason=Reason.FLAP_LATCH, because=because)


def _counted_since(latch: Latch | None) -> int:
    """A person has looked at what happened before they released the latch."""
    return 0 if latch is None or latch.released_at_ms is None else latch.released_at_ms


def _lever_spent(situation: Situation, lever: str) -> Objection | None:
    acts = [act for act in situation.history.acts if lever in act.levers]
    return _spent(situation, acts, situation.policy.lever_budget, f"of lever `{lever}`")


def _spent(situation: Situation, acts: list[Act], budget: Budget, whose: str) -> Objection | None:
    counted = [
        act
        for act in acts
        if (act.acted or act.is_open) and situation.now_ms - act.opened_at_ms < budget.per_ms
    ]
    if len(counted) < budget.acts:
        return None
    because = (
        f"the budget {whose} is spent: {len(counted)} of {budget.acts} in {shown_ms(budget.per_ms)}"
    )
    return Objection(reason=Reason.BUDGET_SPENT, because=because)
