"""What every store remembers for the guardrails, on every backend."""

import random
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.model.decisions import Reason
from rollbackd.model.events import KnownGood
from rollbackd.model.history import History, Latch, Trip, act_of
from rollbackd.model.incidents import Incident, State
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Receipt, Target
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.ports import ScopeBusyError, Store
from tests.backends import Backend
from tests.stores.samples import DAY, NOW, SCOPE, new_incident, record_of, stepped

EVER = {"acts_since_ms": 0, "trips_since_ms": 0}


def fired(rule: str = "QualityDrift", *, at: int | None = NOW) -> Trigger:
    return Trigger(
        rule=rule,
        group="g",
        state=RuleState.FIRING,
        labels=(("alertname", rule),),
        annotations={},
        value=1.0,
        active_at_ms=NOW,
        fired_at_ms=at,
        evaluated_at_ms=NOW,
    )


def receipt(lever: str) -> Receipt:
    return Receipt(
        op_id=f"i1:{lever}",
        target=Target(lever=lever, scope=SCOPE),
        before={},
        requested={},
        after={},
        version=1,
        epoch=7,
        started_at_ms=NOW,
        sealed_at_ms=NOW,
    )


def incident(number: int, **changes: Any) -> Incident:
    """One of a scope of its own."""
    return replace(new_incident(f"i{number}", Scope(f"s{number}")), **changes)


async def opened(store: Store, incident: Incident) -> Incident:
    await store.open_incident(incident, record_of(incident))
    return incident


async def ended(store: Store, incident: Incident, *, at: int) -> Incident:
    last = replace(stepped(incident, State.ABORTED), closed_at_ms=at)
    await store.advance(last, [record_of(last)])
    return last


async def test_an_empty_store_has_no_history(store: Store) -> None:
    """Nothing was done, nobody tripped."""
    assert await store.history(**EVER) == History()


async def test_an_act_is_the_incident_in_short(store: Store) -> None:
    """As it is now: what it moved, which branches it followed, when it flipped and was green."""
    first = await opened(store, replace(new_incident(), triggers=[fired("B"), fired("A")]))
    (act,) = (await store.history(**EVER)).acts
    assert act == act_of(first)
    assert (act.is_open, act.acted, act.levers, act.rules) == (True, False, [], ["A", "B"])
    step = replace(
        stepped(first),
        branch="duplicate_effects",
        branches_left=["quality_regression"],
        receipts=[receipt("write_block"), receipt("flag_off"), receipt("write_block")],
        flipped_at_ms=NOW + 1,
        green_at_ms=NOW + 2,
    )
    await store.advance(step, [])
    (act,) = (await store.history(**EVER)).acts
    assert act == act_of(step)
    assert act.branches == ["quality_regression", "duplicate_effects"]
    assert (act.acted, act.levers) == (True, ["flag_off", "write_block"])
    assert (act.flipped_at_ms, act.green_at_ms, act.ended_at_ms) == (NOW + 1, NOW + 2, None)


@pytest.mark.parametrize(("since", "there"), [(NOW, True), (NOW + 1, False)])
async def test_an_act_counts_from_its_end(store: Store, since: int, *, there: bool) -> None:
    """However long ago it was opened; one that is open always counts."""
    old = await opened(store, incident(1, opened_at_ms=NOW - 30 * DAY))
    last = await ended(store, old, at=NOW)
    still = await opened(store, incident(2, opened_at_ms=NOW - 60 * DAY))
    acts = (await store.history(acts_since_ms=since, trips_since_ms=0)).acts
    assert acts == [act_of(still), *([act_of(last)] if there else [])]


async def test_what_only_observed_is_no_act(store: Store) -> None:
    """A refusal moved nothing, but its trip is remembered."""
    refused = incident(1, state=State.OBSERVED, closed_at_ms=NOW, triggers=[fired()])
    await opened(store, refused)
    history = await store.history(**EVER)
    assert history.acts == []
    assert history.trips == [Trip(scope=refused.scope, rule="QualityDrift", at_ms=NOW)]


async def test_nothing_is_forgotten_however_much_there_is(store: Store) -> None:
    """Seven hundred refusals do not hide the one act before them."""
    first = await ended(store, await opened(store, incident(0)), at=NOW + 1)
    for number in range(1, 700):
        await opened(
            store,
            incident(number, opened_at_ms=NOW + number, state=State.OBSERVED, closed_at_ms=NOW),
        )
    history = await store.history(acts_since_ms=NOW, trips_since_ms=NOW)
    assert (history.acts, history.scopes) == ([act_of(first)], 700)


async def test_acts_come_in_the_order_of_opening(store: Store) -> None:
    """Whatever the order in which they were stored."""
    many = [incident(n, opened_at_ms=NOW + n) for n in range(8)]
    for each in random.Random(5).sample(many, 8):
        await opened(store, each)
    assert (await store.history(**EVER)).acts == [act_of(each) for each in many]


async def test_a_trip_is_the_newest_of_its_scope_and_rule(store: Store) -> None:
    """By when it fired; one that arrives late does not replace a newer one."""
    for number, (rule, at) in enumerate(
        [("A", NOW + 5), ("A", NOW), ("B", NOW + 1), ("C d", None)]
    ):
        state = {"state": State.OBSERVED, "closed_at_ms": NOW, "opened_at_ms": NOW + 9}
        await opened(
            store, replace(new_incident(f"i{number}"), triggers=[fired(rule, at=at)], **state)
        )

    def trip(rule: str, at: int) -> Trip:
        return Trip(scope=SCOPE, rule=rule, at_ms=at)

    history = await store.history(**EVER)
    assert history.trips == [trip("B", NOW + 1), trip("A", NOW + 5), trip("C d", NOW + 9)]
    later = await store.history(acts_since_ms=0, trips_since_ms=NOW + 5)
    assert later.trips == [trip("A", NOW + 5), trip("C d", NOW + 9)]


async def test_trips_are_kept_for_a_day(store: Store) -> None:
    """Counted from the newest."""
    for number, at in enumerate((NOW, NOW + 1, NOW + DAY + 1)):
        await opened(store, incident(number, triggers=[fired(at=at)]))
    assert [trip.at_ms for trip in (await store.history(**EVER)).trips] == [NOW + 1, NOW + DAY + 1]


async def test_a_pull_is_no_trip(store: Store) -> None:
    """No rule fired."""
    await opened(store, incident(1, pulled_by="eve"))
    assert (await store.history(**EVER)).trips == []


async def test_an_opening_that_was_refused_leaves_no_act(store: Store) -> None:
    """The scope was busy."""
    first = await opened(store, new_incident())
    second = replace(new_incident("i2"), triggers=[fired()])
    with pytest.raises(ScopeBusyError):
        await store.open_incident(second, record_of(second))
    assert (await store.history(**EVER)).acts == [act_of(first)]


async def test_scopes_are_known_by_their_incidents_and_known_good_sets(store: Store) -> None:
    """Each once."""
    for service in ("a", "b", "a"):
        await store.put_known_good(KnownGood(scope=Scope(service), pins={}, recorded_at_ms=NOW))
    await opened(store, replace(new_incident(), scope=Scope("b")))
    await opened(store, incident(2, state=State.OBSERVED, closed_at_ms=NOW))
    assert (await store.history(**EVER)).scopes == 3


async def test_a_latch_is_kept_and_replaced(store: Store, backend: Backend) -> None:
    """One for each scope and branch; also a released one, and over a restart."""
    flapped = Latch(scope=SCOPE, branch="b", reason=Reason.FLAP_LATCH, since_ms=NOW, because="3x")
    whole = replace(flapped, branch="", reason=Reason.INEFFECTIVE_CHAIN)
    other = replace(flapped, scope=Scope("a"))
    for latch in (flapped, whole, other):
        await store.put_latch(latch)
    released = replace(flapped, released_at_ms=NOW + 1, released_by="eve")
    await store.put_latch(released)
    await store.close()
    reopened = await backend.store()
    assert (await reopened.history(**EVER)).latches == [other, whole, released]
    assert await reopened.latches() == [other, whole, released]
    await reopened.close()
