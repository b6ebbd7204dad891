"""Which incident answers for which rule instance that fires, also over a restart and a reload."""

from collections.abc import Callable, Iterable

from rollbackd.app.refusals import Instance, instance_of
from rollbackd.model.incidents import Incident
from rollbackd.model.policy import DecisionTree
from rollbackd.model.triggers import Trigger


class Answers:
    """A rule instance that is answered for is not looked at again until it has stopped firing.

    `current` gives the incidents that are open.
    """

    def __init__(self, current: Callable[[], Iterable[Incident]]) -> None:
        self._current = current
        self._answered: dict[Instance, str] = {}
        self._inherited: set[Instance] = set()

    def of(self, instance: Instance) -> str:
        """The id of the incident that answers for it, or an empty string."""
        return self._answered.get(instance, "")

    def give(self, incident_id: str, *triggers: Trigger) -> None:
        """The incident answers for these from here on."""
        self._answered.update({instance_of(trigger): incident_id for trigger in triggers})

    def inherit(self, incident: Incident, tree: DecisionTree) -> None:
        """After a restart: the incident answered for its triggers in an earlier process."""
        for trigger in incident.newest_triggers:
            if _answered_for(incident, trigger, tree):
                self.give(incident.id, trigger)
                self._inherited.add(instance_of(trigger))

    def forget_inherited(self) -> None:
        """Windows are full again: what does not fire by now had stopped before the restart."""
        for instance in self._inherited:
            self._answered.pop(instance, None)
        self._inherited.clear()

    def begins(self, instance: Instance) -> None:
        """It begins to fire: an incident that has ended does not answer for it.

        That a rule begins without having stopped is a reload that changed it. What is inherited
        only seems to begin, while windows are filled again.
        """
        answering = self.of(instance)
        ended = all(incident.id != answering for incident in self._current())
        if ended and instance not in self._inherited:
            self._answered.pop(instance, None)

    def fires(self, triggers: Iterable[Trigger]) -> None:
        """These fire in this process, so that they are as good as its own."""
        self._inherited -= {instance_of(trigger) for trigger in triggers}

    def forget(self, instance: Instance) -> None:
        """It has stopped firing."""
        self._answered.pop(instance, None)


def _answered_for(incident: Incident, trigger: Trigger, tree: DecisionTree) -> bool:
    """Whether a stored incident answers for a trigger, or only heard of it.

    One of a lower branch, or that fired after green, is looked at again once it has ended.
    """
    if trigger == incident.triggers[0]:
        return True
    policy = tree.branches.get(trigger.label("branch"))
    followed = incident.preempted_by or incident.policy
    if policy is None or policy.mode != "act" or policy.priority > followed.priority:
        return False
    green_ms, fired_ms = incident.green_at_ms, trigger.fired_at_ms
    return green_ms is None or fired_ms is None or fired_ms <= green_ms
