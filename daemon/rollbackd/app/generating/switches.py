"""How the switches of a service stand: as a plan moves them, or as whoever plays it says."""

from collections.abc import Callable

import msgspec

from rollbackd.app.generating.plans import Plan
from rollbackd.model.labels import Scope


class Switches(msgspec.Struct, frozen=True, kw_only=True):
    """What a service has read of its controls. The defaults are those that nobody has moved."""

    #: Share of the users that are on the canary.
    canary_share: float = 0.0
    #: Part of every cache key: another one is an empty cache.
    cache_generation: int = 0
    #: Whether side effects wait.
    writes_blocked: bool = False
    #: 0 is the whole chain, 4 citations only; each level is faster.
    degrade_level: int = 0
    #: What is let in at most; None is no limit.
    requests_per_second: float | None = None
    burst: float = 40.0
    #: Nothing is let in.
    breaker_open: bool = False


#: The switches of a service at a time, in milliseconds since the epoch; asked once a second.
Reading = Callable[[Scope, int], Switches]


def planned(plan: Plan) -> Reading:
    """The rollout goes on step by step, whatever comes of it; nothing else is ever moved."""

    def read(_scope: Scope, at_ms: int) -> Switches:
        after = (at_ms - plan.rollout_ms) / 1_000
        shares = [share for since, share in plan.scenario.steps if since <= after]
        return Switches(canary_share=shares[-1]) if shares else Switches()

    return read
