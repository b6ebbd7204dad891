"""The decision tree as values: what a branch may do and when it is done."""

from typing import Final

import msgspec

#: Words of `reconcile`: compare receipts before writers are let go. Without a listing for the
#: service the first one asks a person, the second one goes on.
REQUIRED: Final = "required"
WHERE_LISTED: Final = "where_listed"


class FreezeProbe(msgspec.Struct, frozen=True, kw_only=True):
    """One proof that writers really stand still; a freeze without it is not confirmed.

    `kind` is `write` (a probe write that must be refused), `consumers` (a Kafka consumer group
    that must hold no partition or stand idle) or `acknowledgements` (every live guard of the scope
    must run with the fence of writers or of consumers); `params` are the probe's own settings.
    """

    kind: str
    params: dict[str, object] = {}


class LeverCall(msgspec.Struct, frozen=True, kw_only=True):
    """One lever of a branch with its own settings; `name` is the flag, alias or pointer."""

    lever: str
    name: str = ""
    params: dict[str, object] = {}
    #: Pins that this lever brings back; empty means that it fits any difference.
    reverts: list[str] = []
    #: What has to confirm a freeze beyond the read-back of the fence; all of it.
    confirm: list[FreezeProbe] = []


class ExitTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Green when every element of `value` for the scope is strictly below (or above) the bound.

    No element is unknown, never green.
    """

    name: str
    value: str
    below: float | None = None
    above: float | None = None

    @property
    def bound(self) -> float:
        """The number that the value is compared with."""
        bound = self.below if self.below is not None else self.above
        assert bound is not None
        return bound


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """At most `acts` incidents that act within `per_ms`."""

    acts: int
    per_ms: int


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word before the first act; what happens without one is stated beforehand."""

    within_ms: int = 900_000
    #: `stand_down` or `act`, once the deadline has passed.
    otherwise: str = "stand_down"


class WorseAfter(msgspec.Struct, frozen=True, kw_only=True):
    """When an act made it worse: a red target further from its bound than before the act.

    Further means: `factor` times the distance that it had when the evidence was captured, at every
    reading for `for_ms`.
    """

    factor: float = 1.5
    for_ms: int = 60_000


class BranchPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One branch of the decision tree with every default filled in.

    It is copied into the incident when it opens: a reload never changes an open incident.
    """

    branch: str
    #: 0 is the highest.
    priority: int
    #: `act` or `observe`.
    mode: str = "act"
    freeze: LeverCall | None = None
    #: Throttle before the flip instead of after it (429 and tail latency, conflict K18).
    throttle_first: bool = False
    #: Levers in the order of trying, fastest first; exactly one is moved at a time.
    levers: list[LeverCall] = []
    rotate: LeverCall | None = None
    throttle: list[LeverCall] = []
    exit_targets: list[ExitTarget] = []
    hold_ms: int = 600_000
    first_green_ms: int = 600_000
    #: How often exit targets are read.
    watch_interval_ms: int = 5_000
    max_freeze_ms: int = 1_800_000
    cooldown_ms: int = 1_800_000
    max_event_age_ms: int = 120_000
    needs_known_good: bool = True
    #: Of this branch on one scope.
    budget: Budget = Budget(acts=3, per_ms=86_400_000)
    #: Of one rule, over all scopes.
    rule_budget: Budget = Budget(acts=10, per_ms=86_400_000)
    #: Of one lever, over all scopes and branches.
    lever_budget: Budget = Budget(acts=20, per_ms=86_400_000)
    #: None: it acts without being asked.
    approval: Approval | None = None
    #: The share of the series that the rule read an hour ago that must still report.
    min_input_coverage: float = 0.5
    #: How long a freeze may wait for its confirmation.
    confirm_freeze_ms: int = 10_000
    #: Times that a pointer which somebody moved back during the hold is flipped again.
    max_reasserts: int = 1
    worse_after: WorseAfter = WorseAfter()
    #: How far back a change counts as the likely cause of a trigger.
    changes_within_ms: int = 3_600_000
    #: Whether nothing is pulled where nobody changed anything within that time.
    requires_change: bool = False
    #: `required`, `where_listed` or `off`: whether receipts are compared before a reopening.
    reconcile: str = "off"
    #: Branches that show the same symptoms: the pins that changed decide between them (K8). They
    #: are carried whole, without those that they share with in turn.
    shares_symptoms_with: list["BranchPolicy"] = []


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which automation stays its hand: maintenance, or a change freeze.

    No services or no regions means all of them.
    """

    name: str
    #: `maintenance` or `change_freeze`.
    kind: str
    start_ms: int
    end_ms: int
    services: list[str] = []
    regions: list[str] = []


class Correlated(msgspec.Struct, frozen=True, kw_only=True):
    """So many scopes in so short a time have one cause, which is not a canary."""

    scopes: int = 5
    within_ms: int = 300_000


class Repeats(msgspec.Struct, frozen=True, kw_only=True):
    """So many of something within a time."""

    times: int
    within_ms: int


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Services that are rolled back as one unit, in this order: each after what it depends on.

    When a step fails, the steps before it are put back.
    """

    name: str
    services: list[str]
    branches: list[str] = []


class DecisionTree(msgspec.Struct, frozen=True, kw_only=True):
    """All branches by name, and what they share."""

    branches: dict[str, BranchPolicy]
    global_budget: Budget = Budget(acts=10, per_ms=3_600_000)
    #: `act` or `observe`: the whole daemon only watches.
    mode: str = "act"
    #: Incidents that may act at the same time.
    max_open_incidents: int = 5
    correlated: Correlated = Correlated()
    #: The largest share of the known scopes that may be acted on at the same time.
    max_blast_radius: float = 0.5
    #: Incidents of a scope in a row that acted and did not end green: then no more.
    ineffective_chain: Repeats = Repeats(times=2, within_ms=86_400_000)
    #: Flips of one scope and branch that latch it until a person resets it.
    flap_latch: Repeats = Repeats(times=3, within_ms=21_600_000)
    windows: list[Window] = []
    #: `exempt`: a rollback to the last known good is no change (K23); `respect`: it waits.
    change_freeze: str = "exempt"
    groups: list[Group] = []
    #: The order in which regions are rolled back when nothing tells of two that are bad at once.
    regions: list[str] = []
