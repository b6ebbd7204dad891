"""Whether the trigger can be believed, and whether there is anything to go back to."""

from rollbackd.incidents.guardrails.situation import Objection, Situation, shown_ms
from rollbackd.model.decisions import Reason
from rollbackd.model.pins import Pins


def stale_data(situation: Situation) -> Objection | None:
    """The newest data that the rule read is older than the branch's `max_event_age`.

    A backlog after an outage must not pull levers for a fault that may be long over.
    """
    trigger, longest_ms = situation.trigger, situation.policy.max_event_age_ms
    if trigger is None or trigger.event_time_ms is None:
        return None
    age_ms = situation.now_ms - trigger.event_time_ms
    if age_ms <= longest_ms:
        return None
    because = (
        f"the newest sample is {shown_ms(age_ms)} old; at most {shown_ms(longest_ms)} is acted on"
    )
    return Objection(reason=Reason.STALE_DATA, because=because)


def input_coverage(situation: Situation) -> Objection | None:
    """Too few of the series that the rule read an hour ago still report.

    What is left may be the sick half of a fleet whose healthy half has gone silent. Unknown, as in
    the first minutes of a process, is not held against the trigger: its data is still fresh.
    """
    share, least = situation.coverage, situation.policy.min_input_coverage
    if share is None or situation.trigger is None or share >= least:
        return None
    because = (
        f"{share:.0%} of the series that rule `{situation.trigger.rule}` read an hour ago still"
        f" report; at least {least:.0%} have to"
    )
    return Objection(reason=Reason.INPUT_COVERAGE, because=because)


def no_recent_change(situation: Situation) -> Objection | None:
    """Nobody changed anything about the scope lately, and the branch wants a change to roll back.

    A fault that no change brought about is not undone by going back. A person who pulls knows.
    """
    policy = situation.policy
    if not policy.requires_change or situation.trigger is None or situation.changes:
        return None
    because = (
        f"no change of {situation.scope} was seen in the last {shown_ms(policy.changes_within_ms)}"
    )
    return Objection(reason=Reason.NO_RECENT_CHANGE, because=because)


def no_known_good(situation: Situation) -> Objection | None:
    """The branch moves a pointer back, but nobody recorded to what."""
    if not situation.policy.needs_known_good or situation.known_good is not None:
        return None
    because = (
        f"no known good set is recorded for {situation.scope}; `rollbackd pins record"
        f" {situation.scope} --from-live` makes one of what runs, while it is good"
    )
    return Objection(reason=Reason.NO_KNOWN_GOOD, because=because)


def known_good_is_current(situation: Situation) -> Objection | None:
    """What runs is what is known to be good: going back would change nothing, and cost a freeze.

    The suspect is the arm `canary` where one was seen, else every arm. A pin that was not seen is
    unknown, which is no proof that it is the good one.
    """
    if not situation.policy.needs_known_good or situation.known_good is None:
        return None
    seen, good = situation.pins_seen, situation.known_good.pins
    suspects = [seen["canary"]] if "canary" in seen else list(seen.values())
    if not good or not suspects or not all(_runs(pins, good) for pins in suspects):
        return None
    return Objection(
        reason=Reason.KNOWN_GOOD_IS_CURRENT,
        because=f"{situation.scope} already runs with every pin of its known good set",
    )


def _runs(pins: Pins, good: Pins) -> bool:
    return all(pins.get(name) == value for name, value in good.items())
