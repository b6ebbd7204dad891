"""What an incident keeps of the triggers that join it, however often their rules flap."""

from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.joining import MOST_INSTANCES, with_trigger
from rollbackd.model.history import act_of
from rollbackd.model.incidents import Incident, Recurrence, State
from rollbackd.model.labels import labels_of
from rollbackd.model.triggers import Trigger
from rollbackd.stores.records import decode, encode
from tests.incidents.samples import NOW, opened, policy_of, trigger_of
from tests.incidents.walking import Walk


def firing(n: int, rule: str = "cost_or_latency", **labels: str) -> Trigger:
    """The n-th time that an instance begins to fire."""
    trigger = trigger_of("cost_or_latency", rule=rule, value=float(n), fired_at_ms=NOW + n)
    return replace(trigger, labels=labels_of({**dict(trigger.labels), **labels}))


def kept(incident: Incident) -> tuple[list[Trigger], list[Recurrence], dict[str, int]]:
    return incident.triggers, incident.recurrences, incident.unlisted


def test_an_incident_does_not_grow_by_a_rule_that_flaps() -> None:
    """The first time, the last time, how often; and every time is in the journal."""
    walk = Walk(opened())
    walk.to(State.WATCHING)
    first, sizes = walk.incident.triggers[0], []
    for n in range(1, 501):
        walk.say(m.TriggerJoined(trigger=firing(n), policy=policy_of("cost_or_latency")))
        sizes.append(len(encode(walk.incident)))
    incident = walk.incident
    assert incident.triggers == [first, firing(1)]
    assert incident.recurrences == [Recurrence(times=500, last=firing(500))]
    assert incident.newest_triggers == [first, firing(500)]
    assert sizes[-1] - sizes[1] < 20
    told = [record.detail for record in walk.records if record.kind == "TriggerJoined"]
    assert [detail["value"] for detail in told] == [float(n) for n in range(1, 501)]
    assert told[0] == {
        "rule": "cost_or_latency",
        "branch": "cost_or_latency",
        "value": 1.0,
        "labels": dict(firing(1).labels),
    }


def test_nor_by_a_rule_with_ever_new_labels() -> None:
    """So many are named, how often others fired is counted; another rule has room of its own."""
    incident = opened()
    for n in range(MOST_INSTANCES + 20):
        incident = with_trigger(incident, firing(n, key=f"k{n}"))
    incident = with_trigger(incident, firing(0, key=f"k{MOST_INSTANCES}"))
    incident = with_trigger(incident, firing(1, rule="Errors"))
    named = [trigger for trigger in incident.triggers if trigger.rule == "cost_or_latency"]
    assert named == [firing(n, key=f"k{n}") for n in range(MOST_INSTANCES)]
    assert incident.triggers[-1] == firing(1, rule="Errors")
    assert incident.unlisted == {"cost_or_latency": 21}
    assert incident.recurrences == []
    assert act_of(incident).rules == ["Errors", "cost_or_latency", "quality_regression"]


def test_what_came_again_stands_in_the_order_in_which_it_did() -> None:
    """Whatever fires when, and over a restart."""
    incident = opened()
    for n, pod in enumerate("abcbab", start=1):
        incident = with_trigger(incident, firing(n, pod=pod))
    assert incident.triggers[1:] == [firing(1, pod="a"), firing(2, pod="b"), firing(3, pod="c")]
    assert incident.recurrences == [
        Recurrence(times=3, last=firing(6, pod="b")),
        Recurrence(times=2, last=firing(5, pod="a")),
    ]
    assert [t.value for t in incident.newest_triggers[1:]] == [5.0, 6.0, 3.0]
    assert kept(decode(encode(incident), Incident)) == kept(incident)
