"""What a guardrail looks at, and what it says."""

from collections.abc import Callable, Mapping

import msgspec

from rollbackd.incidents.units import group_of
from rollbackd.model.decisions import Reason
from rollbackd.model.events import KnownGood
from rollbackd.model.facts import ChangeEvent
from rollbackd.model.history import Act, History, Latch
from rollbackd.model.labels import Scope
from rollbackd.model.pins import Pins
from rollbackd.model.policy import BranchPolicy, DecisionTree
from rollbackd.model.triggers import Trigger


class Objection(msgspec.Struct, frozen=True, kw_only=True):
    """A guardrail says no: the reason for machines, and what it saw for people."""

    reason: Reason
    because: str


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a guardrail may look at.

    `history` reaches at least as far back as `horizon_ms`. `trigger` is None when a person pulls.
    """

    now_ms: int
    scope: Scope
    policy: BranchPolicy
    tree: DecisionTree
    trigger: Trigger | None
    history: History = History()
    #: Why a person has paused the daemon; None while nobody has.
    pause: str | None = None
    known_good: KnownGood | None = None
    #: Arm -> the pins that it was last seen with.
    pins_seen: Mapping[str, Pins] = {}
    #: Of the series that the rule read for this scope an hour ago, the share that still report;
    #: None when that is not known.
    coverage: float | None = None
    #: What was changed about the scope within the branch's `changes_within`, oldest first.
    changes: list[ChangeEvent] = []
    #: Scopes for which the rule of the trigger holds, but has not held for its `for` yet.
    about_to_trip: frozenset[Scope] = frozenset()
    #: Regions of the service in which the same bad pins run, this one among them.
    same_bad_pins: frozenset[Scope] = frozenset()

    @property
    def of_one_cause(self) -> frozenset[Scope]:
        """Scopes that are rolled back together with this one: they count as one (K16)."""
        unit = group_of(self.tree.groups, self.scope, self.policy)
        return self.same_bad_pins | frozenset(unit)

    @property
    def tripped_at_ms(self) -> int:
        """When the rule began to fire for this scope."""
        fired_at_ms = self.trigger.fired_at_ms if self.trigger is not None else None
        return self.now_ms if fired_at_ms is None else fired_at_ms

    @property
    def acts_here(self) -> list[Act]:
        """Incidents of this scope that moved something, oldest first."""
        acted = (act for act in self.history.acts if act.scope == self.scope and act.acted)
        return sorted(acted, key=lambda act: act.opened_at_ms)

    def latch(self, branch: str) -> Latch | None:
        """The latch of this scope and branch, also one that was released."""
        of_scope = (latch for latch in self.history.latches if latch.scope == self.scope)
        return next((latch for latch in of_scope if latch.branch == branch), None)


#: None when it has nothing against acting. Pure, and never raises.
Guardrail = Callable[[Situation], Objection | None]


def horizon_ms(tree: DecisionTree) -> int:
    """How far back the history has to reach for every guardrail to be right."""
    policies = tree.branches.values()
    return max(
        tree.global_budget.per_ms,
        tree.ineffective_chain.within_ms,
        tree.flap_latch.within_ms,
        *(p.cooldown_ms for p in policies),
        *(b.per_ms for p in policies for b in (p.budget, p.rule_budget, p.lever_budget)),
    )


def shown_ms(milliseconds: int) -> str:
    """A duration for people, in its largest whole unit: `90s`, `5m`, `24h`."""
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1_000)):
        if milliseconds >= size and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    if milliseconds >= 10_000:
        return shown_ms(milliseconds // 1_000 * 1_000)
    return f"{milliseconds}ms"
