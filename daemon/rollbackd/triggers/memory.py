"""What an alert rule remembers of its instances from before a restart: their `for` goes on.

As in Prometheus (rules/group.go, RestoreForState): an instance is taken up again only when the
expression holds again after the restart; the time of the outage counts neither as holding nor as
not holding; and an instance that was about to fire waits for a grace period. An outage longer than
the tolerance is forgotten, and so is every rule that changed.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from rollbackd.model.labels import Labels
from rollbackd.model.triggers import RuleInstance


@dataclass(frozen=True, slots=True)
class RestorePolicy:
    """How far the past is trusted."""

    #: The least time between a restart and firing; rules with a shorter `for` start anew.
    grace_ms: int
    #: An instance that was seen last before this is forgotten.
    tolerance_ms: int


class Memory:
    """The instances of one rule from before a restart, until its data is there again."""

    def __init__(self, instances: Iterable[RuleInstance], policy: RestorePolicy) -> None:
        self._instances = {instance.labels: instance for instance in instances}
        self._policy = policy
        #: After an evaluation at this time or later nothing is taken up any more.
        self.until_ms: int | None = None

    def recall(self, labels: Labels, now_ms: int, *, for_ms: int) -> RuleInstance | None:
        """The instance that begins to hold again, with the `active_at_ms` that it goes on from."""
        instance = self._instances.pop(labels, None)
        if instance is None or now_ms - instance.seen_at_ms > self._policy.tolerance_ms:
            return None
        active_at_ms = resumed_at(instance, now_ms, for_ms=for_ms, grace_ms=self._policy.grace_ms)
        return msgspec.structs.replace(instance, active_at_ms=active_at_ms)

    def is_over(self, now_ms: int) -> bool:
        """Whether what has not begun to hold again by now had ended."""
        return not self._instances or (self.until_ms is not None and now_ms >= self.until_ms)


def resumed_at(instance: RuleInstance, now_ms: int, *, for_ms: int, grace_ms: int) -> int:
    """Since when an instance counts as active that holds again at `now_ms`."""
    spent_ms = instance.seen_at_ms - instance.active_at_ms
    remaining_ms = for_ms - spent_ms
    if remaining_ms <= 0:
        return instance.active_at_ms
    if remaining_ms < grace_ms:
        return now_ms + grace_ms - for_ms
    return instance.active_at_ms + now_ms - instance.seen_at_ms


def rule_id_of(*parts: object) -> str:
    """What makes a rule the same one, in 32 characters."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]
