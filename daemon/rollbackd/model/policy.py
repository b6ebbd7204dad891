"""The decision tree as values: what a branch may do and when it is done."""

import msgspec


class LeverCall(msgspec.Struct, frozen=True, kw_only=True):
    """One lever of a branch with its own settings; `name` is the flag, alias or pointer."""

    lever: str
    name: str = ""
    params: dict[str, object] = {}
    #: Pins that this lever brings back; empty means that it fits any difference.
    reverts: list[str] = []


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
    budget: Budget = Budget(acts=3, per_ms=86_400_000)


class DecisionTree(msgspec.Struct, frozen=True, kw_only=True):
    """All branches by name, and the budget that they share."""

    branches: dict[str, BranchPolicy]
    global_budget: Budget = Budget(acts=10, per_ms=3_600_000)
    #: `act` or `observe`: the whole daemon only watches.
    mode: str = "act"
