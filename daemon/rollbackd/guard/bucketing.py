"""Which arm of a rollout a user is on.

The one function of the whole program for this: applications that ask the guard and those that ask
over OFREP put the same user on the same arm. It needs nothing but the flag's value and the user,
so that a user stays on an arm for as long as the weights stay (sticky, requirement P2), and a
weight that grows takes users to the canary and none back.
"""

import hashlib
import math
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final

from rollbackd.guard.framing import framed, netstring

_BUCKETS: Final = 1 << 53


class Arm(StrEnum):
    """The two sides of a rollout."""

    #: The last known good.
    BASELINE = "baseline"
    #: What is being rolled out.
    CANARY = "canary"


def bucket(flag: str, user: str) -> float:
    """Where a user stands in [0, 1) for a flag: even over users, independent between flags."""
    hashed = hashlib.sha256(_frame(flag) + netstring(user)).digest()
    return (int.from_bytes(hashed[:8], "big") >> 11) / _BUCKETS


def canary_share(value: Mapping[str, object]) -> float:
    """The part of the users in [0, 1] that a flag's value sends to the canary.

    `value` is what a `flag` control holds: `baseline_weight`, `canary_weight`, `global_off`. The
    two weights are relative to each other. A flag that is off, and one whose weights are missing,
    negative, not finite or both zero, sends nobody.
    """
    if value.get("global_off", False) is not False:
        return 0.0
    baseline, canary = _weight(value, "baseline_weight"), _weight(value, "canary_weight")
    if baseline is None or canary is None:
        return 0.0
    largest = max(baseline, canary)
    if largest == 0:
        return 0.0
    # scaled first: the sum of two large floats may be infinite
    return (canary / largest) / (baseline / largest + canary / largest)


def arm_of(share: float, flag: str, user: str) -> Arm:
    """The arm of one user, by `canary_share`; `flag` is the flag's name, such as `reranker`."""
    return Arm.CANARY if bucket(flag, user) < share else Arm.BASELINE


@lru_cache(maxsize=1024)
def _frame(flag: str) -> bytes:
    return framed("bucket", flag)


def _weight(value: Mapping[str, object], name: str) -> float | None:
    weight = value.get(name)
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        return None
    try:
        number = float(weight)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
