"""Triggers that join an open incident: which of them it keeps, however often a rule flaps.

An incident is stored whole at every step, so it keeps an instance once and counts the rest. Every
single firing is a record of the journal, which only grows by it.
"""

from typing import Final

from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.moves import Next
from rollbackd.model.incidents import Incident, Recurrence
from rollbackd.model.triggers import Trigger

#: Instances of one rule that an incident names; how often others fired is counted.
MOST_INSTANCES: Final = 50


def joined(incident: Incident, event: m.TriggerJoined, _now_ms: int) -> Next:
    """Keep the trigger; one of a higher branch takes over once nothing is pending."""
    trigger, policy = event.trigger, event.policy
    incident = with_trigger(incident, trigger)
    rival = incident.preempted_by or incident.policy
    # a branch that only observes must not act through an incident that another one opened
    if policy.mode == "act" and policy.priority < rival.priority:
        incident = replace(incident, preempted_by=policy)
    return incident, {
        "rule": trigger.rule,
        "branch": policy.branch,
        "value": trigger.value,
        "labels": dict(trigger.labels),
    }


def with_trigger(incident: Incident, trigger: Trigger) -> Incident:
    """The incident with one more firing of a rule instance."""
    if not any(_same(known, trigger) for known in incident.triggers):
        of_rule = sum(known.rule == trigger.rule for known in incident.triggers)
        if of_rule < MOST_INSTANCES:
            return replace(incident, triggers=[*incident.triggers, trigger])
        times = incident.unlisted.get(trigger.rule, 0) + 1
        return replace(incident, unlisted={**incident.unlisted, trigger.rule: times})
    recurrences = list(incident.recurrences)
    for place, known in enumerate(recurrences):
        if _same(known.last, trigger):
            recurrences[place] = Recurrence(times=known.times + 1, last=trigger)
            break
    else:
        recurrences.append(Recurrence(times=2, last=trigger))
    return replace(incident, recurrences=recurrences)


def _same(one: Trigger, other: Trigger) -> bool:
    """Whether they are of one rule instance."""
    return (one.rule, one.labels) == (other.rule, other.labels)
