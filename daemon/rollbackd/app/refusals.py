"""Why triggers that fire have opened nothing, and which of them to look at again."""

from typing import Final

from rollbackd.model.decisions import Reason
from rollbackd.model.labels import Labels
from rollbackd.model.policy import DecisionTree
from rollbackd.model.triggers import Trigger

#: A rule instance: the rule's name and the labels of its result.
Instance = tuple[str, Labels]

#: Rules may be evaluated ten times a second; guardrails read the store.
_AGAIN_AFTER_MS: Final = 1_000


def instance_of(trigger: Trigger) -> Instance:
    """What a trigger is told from others by."""
    return trigger.rule, trigger.labels


class Refusals:
    """What became of each instance, for as long as it fires."""

    def __init__(self) -> None:
        self._newest: dict[Instance, Reason] = {}
        self._noted: dict[Instance, set[Reason]] = {}
        self._asked: dict[Instance, tuple[int, DecisionTree, bool]] = {}

    def newest(self, instance: Instance) -> Reason | None:
        """Why it has opened nothing, or None."""
        return self._newest.get(instance)

    def note(self, instance: Instance, reason: Reason) -> bool:
        """Take a reason; whether it is news.

        Two reasons that take turns are written down once each, not every time.
        """
        self._newest[instance] = reason
        noted = self._noted.setdefault(instance, set())
        news = reason not in noted
        noted.add(reason)
        return news

    def is_noted(self, instance: Instance, reason: Reason) -> bool:
        """Whether the reason was taken since it began to fire."""
        return reason in self._noted.get(instance, ())

    def asked(self, instance: Instance, now_ms: int, tree: DecisionTree, *, paused: bool) -> None:
        """It was refused just now."""
        self._asked[instance] = now_ms, tree, paused

    def is_due(self, instance: Instance, now_ms: int, tree: DecisionTree, *, paused: bool) -> bool:
        """Whether to ask again: after a second, or when a person has changed something."""
        if instance not in self._asked:
            return True
        at_ms, before, was_paused = self._asked[instance]
        changed = tree is not before or paused is not was_paused
        return changed or not 0 <= now_ms - at_ms < _AGAIN_AFTER_MS

    def forget(self, instance: Instance) -> None:
        """It has stopped firing, or opened an incident."""
        self._newest.pop(instance, None)
        self._noted.pop(instance, None)
        self._asked.pop(instance, None)
