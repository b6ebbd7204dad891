"""What can be otherwise than usual on one arm of a service, and what makes it so."""

from enum import StrEnum
from typing import Final

import msgspec


class Arm(StrEnum):
    """Which arm an injection acts on."""

    BASELINE = "baseline"
    CANARY = "canary"
    #: Both, and what has no arm, e.g. how many requests come in.
    BOTH = "both"


class Condition(msgspec.Struct, kw_only=True):
    """How one arm does in one second. The defaults are those of a healthy service.

    Shares are of requests unless said otherwise. What concerns the service as a whole is read from
    the baseline's condition.
    """

    #: Added to ΔS and to coverage of every answer.
    delta_s: float = 0.0
    coverage: float = 0.0
    #: Times the latency of every request; `slow` is the share of requests that take eight times it.
    latency: float = 1.0
    slow: float = 0.002
    #: Share of requests that meet a process which has just started; they say so themselves.
    cold: float = 0.0
    errors: float = 0.0008
    throttled: float = 0.0012
    #: Share of retries that wait as long as `Retry-After` says.
    adherence: float = 0.96
    #: Times the tokens, and with them the cost, of an answer.
    tokens: float = 1.0
    #: Share of λ probes that do not converge.
    divergence: float = 0.01
    tool_loops: float = 0.0
    cache_hits: float = 0.35
    #: Shares of cache hits whose entry is of other versions, whose key names no prompt version, and
    #: which shadow traffic wrote.
    foreign_entries: float = 0.0
    unkeyed_entries: float = 0.0
    shadow_entries: float = 0.0
    #: Share of answers given with the other arm's index.
    stray_index: float = 0.0
    #: Share of requests that the router sends to the arm that is not the user's.
    strayed_users: float = 0.0
    #: Shares of effects: applied again under another effect id, and receipts sent again unchanged.
    doubled_effects: float = 0.0
    replayed_receipts: float = 0.0
    #: Share of dedupe decisions that meet the key with another body.
    conflicts: float = 0.002
    #: Retrievers that read another index, that analyse text otherwise, and that are not there.
    wrong_index: float = 0.0
    wrong_analyzer: float = 0.0
    absent_readers: float = 0.0
    #: Times the requests; of the whole service.
    load: float = 1.0
    #: Share of requests that one user sends; of the whole service.
    one_user: float = 0.0
    #: Share of events that arrive up to 50 s late; of the whole service.
    late: float = 0.0
    #: Seconds that the clocks of every third process are ahead (or behind) by.
    skew: float = 0.0


#: What is multiplied; everything else is added.
_FACTORS: Final = frozenset({"latency", "tokens", "load"})
#: What cannot leave 0 to 1.
_SHARES: Final = frozenset(
    {"slow", "cold", "errors", "throttled", "adherence", "divergence", "tool_loops", "cache_hits",
     "conflicts", "one_user", "late"}
)  # fmt: skip

#: From and to, both included; a number that is drawn evenly from between them.
Span = tuple[float, float]


class Injection(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a scenario changes. Times are seconds after the rollout began.

    `by` is what is added to the quantity, or for `latency`, `tokens` and `load` the factor.
    """

    quantity: str
    by: Span
    arm: Arm = Arm.CANARY
    onset: Span = (0.0, 0.0)
    #: How long it takes to come to its full size.
    ramp: Span = (0.0, 0.0)
    #: How long it lasts, ramp included; None is until the end.
    lasts: Span | None = None
    #: Which of the services of the plan it is about.
    where: int = 0

    def __post_init__(self) -> None:
        if self.quantity not in Condition.__struct_fields__:
            raise ValueError(f"`{self.quantity}` is not a quantity of a condition")


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """An injection whose numbers are drawn; times are milliseconds since the epoch."""

    quantity: str
    by: float
    arm: Arm
    from_ms: int
    ramp_ms: int
    until_ms: int | None
    where: int

    def level(self, at_ms: int) -> float:
        """How much of it is there, 0 to 1."""
        if at_ms < self.from_ms or (self.until_ms is not None and at_ms >= self.until_ms):
            return 0.0
        if at_ms >= self.from_ms + self.ramp_ms:
            return 1.0
        return (at_ms - self.from_ms) / self.ramp_ms

    def touches(self, arm: Arm) -> bool:
        """Whether it acts on an arm."""
        return self.arm in {arm, Arm.BOTH}


def condition_at(usual: Condition, injections: list[Drawn], at_ms: int) -> Condition:
    """How an arm does at a time, given what acts on it."""
    now = msgspec.structs.replace(usual)
    for injection in injections:
        level = injection.level(at_ms)
        if level:
            name = injection.quantity
            value: float = getattr(now, name)
            if name in _FACTORS:
                value *= 1 + (injection.by - 1) * level
            else:
                value += injection.by * level
            setattr(now, name, min(1.0, max(0.0, value)) if name in _SHARES else value)
    return now
