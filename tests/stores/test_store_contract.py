"""What every store does, on every backend."""

import asyncio
import itertools
import math
import random
import time
from collections.abc import Awaitable

import msgspec
import pytest

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.incidents.states import TRANSITIONS, IllegalTransitionError
from rollbackd.model.events import KnownGood
from rollbackd.model.incidents import State
from rollbackd.model.labels import Scope
from rollbackd.ports import DeadLetter, Pause, ScopeBusyError, StaleIncidentError, Store
from tests.backends import Backend
from tests.stores.samples import (
    DAY,
    NOW,
    SCOPE,
    alert_entry,
    change,
    new_incident,
    odd_floats,
    record_of,
    rule_instance,
    stepped,
)


async def test_an_alert_is_offered_until_it_is_handled(store: Store) -> None:
    """Oldest first, at most as many as asked for, and never again once marked."""
    entries = [alert_entry(f"f{i}") for i in range(5)]
    assert await store.accept(entries[:3]) == 3
    assert await store.accept(entries[3:]) == 2
    assert await store.unhandled(2) == entries[:2]
    await store.mark_handled([entries[0].key, entries[1].key])
    assert await store.unhandled(100) == entries[2:]
    await store.mark_handled([])
    assert await store.accept([]) == 0
    assert await store.unhandled(0) == []


async def test_a_repeated_alert_is_the_same_entry(store: Store) -> None:
    """It is not new, not offered again, and refreshes when it was received."""
    first, repeat = alert_entry(), alert_entry(received=NOW + 5_000)
    assert await store.accept([first, first]) == 1
    await store.mark_handled([first.key])
    assert await store.accept([repeat]) == 0
    assert await store.unhandled(10) == []
    assert await store.firing_alerts() == [repeat]


async def test_firing_alerts_follow_the_latest_status(store: Store) -> None:
    """A resolved one ends it, whichever came first, and a new start begins it again."""
    await store.accept([alert_entry("a"), alert_entry("b")])
    await store.accept([alert_entry("b", "resolved"), alert_entry("c", "resolved")])
    assert [entry.alert.fingerprint for entry in await store.firing_alerts()] == ["a"]
    await store.mark_handled([entry.key for entry in await store.unhandled(10)])
    again = alert_entry("b", starts=NOW + 1)
    assert await store.accept([again]) == 1
    assert {entry.key for entry in await store.firing_alerts()} == {again.key, alert_entry("a").key}


async def test_an_alert_that_turns_back_is_offered_again(store: Store) -> None:
    """The engine must hear of it: its last word on this alert was another."""
    firing, resolved = alert_entry(), alert_entry(status="resolved")
    assert await store.accept([firing, resolved]) == 2
    await store.mark_handled([firing.key, resolved.key])
    assert await store.accept([firing]) == 1
    assert await store.unhandled(10) == [firing]
    assert await store.firing_alerts() == [firing]


async def test_old_alerts_are_let_go_once_nobody_needs_them(store: Store) -> None:
    """After seven days a handled alert is forgotten, unless it still fires."""
    done, fires, waits = (
        alert_entry("done", "resolved"),
        alert_entry("fires"),
        alert_entry("waits", "resolved"),
    )
    superseded = alert_entry("done")
    await store.accept([superseded, done, fires, waits])
    await store.mark_handled([superseded.key, done.key, fires.key])
    await store.accept([alert_entry("other", received=NOW + 7 * DAY)])
    assert await store.accept([done]) == 0, "not yet seven days old"
    await store.accept([alert_entry("other", received=NOW + 7 * DAY + 1)])
    assert await store.accept([done]) == 1
    assert await store.accept([fires, waits]) == 0
    assert waits in await store.unhandled(10)


async def test_concurrent_repeats_are_accepted_once(store: Store) -> None:
    """Twenty senders deliver the same fifty alerts: fifty are new."""
    entries = [alert_entry(f"f{i}") for i in range(50)]
    counts = await asyncio.gather(*(store.accept(entries) for _ in range(20)))
    assert sum(counts) == 50
    assert len(await store.unhandled(1_000)) == 50


async def test_epochs_only_grow(store: Store, backend: Backend) -> None:
    """Also when asked for at once, and they start above the clock in microseconds."""
    before = time.time_ns() // 1_000
    epochs = await asyncio.gather(*(store.next_epoch(SCOPE) for _ in range(100)))
    assert len(set(epochs)) == 100
    assert min(epochs) >= before - 1_000
    last = max(epochs)
    await store.close()
    reopened = await backend.store()
    assert await reopened.next_epoch(SCOPE) > last
    assert await reopened.next_epoch(Scope("other")) >= before - 1_000
    await reopened.close()


async def test_a_scope_has_one_open_incident(store: Store) -> None:
    """Of a hundred opened at once one wins, and the others learn which."""

    async def attempt(number: int) -> str:
        incident = new_incident(f"i{number}")
        while True:
            try:
                await store.open_incident(incident, record_of(incident))
            except ScopeBusyError as error:
                return error.incident_id
            except TemporaryError:
                continue  # as everybody does who opens one; a busy machine may be too slow for it
            return incident.id

    winners = await asyncio.gather(*(attempt(number) for number in range(100)))
    assert len(set(winners)) == 1
    assert [incident.id for incident in await store.incidents()] == winners[:1]
    other = new_incident("elsewhere", Scope("rag", "us-1"))
    await store.open_incident(other, record_of(other))
    assert len(await store.incidents(open_only=True)) == 2


async def test_opening_again_changes_nothing(store: Store) -> None:
    """A lost reply is repeated; another incident under the same id is refused."""
    incident = new_incident()
    for _ in range(2):
        await store.open_incident(incident, record_of(incident))
    assert await store.journal("i1") == [record_of(incident)]
    with pytest.raises(PermanentError, match="`i1` is in the store already"):
        await store.open_incident(stepped(incident), record_of(incident))
    assert await store.incidents() == [incident]


async def test_advance_replaces_the_version_before(store: Store) -> None:
    """The incident and its records change together, in order."""
    first = new_incident()
    second = stepped(first)
    third = stepped(second, State.FREEZING)
    await store.open_incident(first, record_of(first))
    await store.advance(second, [record_of(second)])
    await store.advance(third, [record_of(third), record_of(third, "More")])
    await store.advance(third, [record_of(third), record_of(third, "More")])
    assert await store.incident("i1") == third
    assert await store.journal("i1") == [
        record_of(first),
        record_of(second),
        record_of(third),
        record_of(third, "More"),
    ]


async def test_advance_refuses_what_was_made_from_another_version(store: Store) -> None:
    """The message spells out what was expected and what was found."""
    first = new_incident()
    second = stepped(first)
    await store.open_incident(first, record_of(first))
    await store.advance(second, [record_of(second)])
    late = stepped(first, note="somebody slower")
    with pytest.raises(StaleIncidentError, match="replaces version 1, found version 2"):
        await store.advance(late, [record_of(late)])
    early = msgspec.structs.replace(second, version=9)
    with pytest.raises(StaleIncidentError, match="replaces version 8, found version 2"):
        await store.advance(early, [])
    with pytest.raises(StaleIncidentError, match="not in the store"):
        await store.advance(stepped(new_incident("unknown")), [])
    assert await store.incident("i1") == second
    assert len(await store.journal("i1")) == 2


async def test_of_many_steps_from_one_version_one_is_taken(store: Store) -> None:
    """Fifty advance at once; one record is written."""
    first = new_incident()
    await store.open_incident(first, record_of(first))

    async def attempt(number: int) -> bool:
        step = stepped(first, note=f"by {number}")
        try:
            await store.advance(step, [record_of(step)])
        except StaleIncidentError:
            return False
        return True

    assert sum(await asyncio.gather(*map(attempt, range(50)))) == 1
    assert len(await store.journal("i1")) == 2


@pytest.mark.parametrize(
    ("before", "ending"),
    [
        (State.AUDITING, State.CLOSED),
        (State.AWAITING_APPROVAL, State.OBSERVED),
        (State.DETECTED, State.ABORTED),
    ],
)
async def test_an_ended_incident_frees_its_scope(
    store: Store, before: State, ending: State
) -> None:
    """The next one can open, the ended one stays to be read, and cannot come back beside it."""
    first = msgspec.structs.replace(new_incident(), state=before)
    await store.open_incident(first, record_of(first))
    ended = stepped(first, ending)
    await store.advance(ended, [record_of(ended)])
    assert await store.incidents(open_only=True) == []
    second = new_incident("i2", opened=NOW + 1)
    await store.open_incident(second, record_of(second))
    assert await store.incidents(open_only=True) == [second]
    assert await store.incidents() == [second, ended]
    with pytest.raises(IllegalTransitionError, match=f"{ending} => capturing"):
        await store.advance(stepped(ended), [])


async def test_only_legal_transitions_are_stored(store: Store) -> None:
    """Every pair of states: those of the table are taken, all others change nothing."""
    refused = 0
    for before, after in itertools.product(State, State):
        scope = Scope(f"{before}.{after}")
        first = msgspec.structs.replace(new_incident(scope.service, scope), state=before)
        await store.open_incident(first, record_of(first))
        step = stepped(first, after)
        legal = after in TRANSITIONS[before] or before is after
        if legal:
            await store.advance(step, [record_of(step)])
            # a lost reply is repeated
            await store.advance(step, [record_of(step)])
        else:
            with pytest.raises(IllegalTransitionError, match=f"{before} => {after} is not allowed"):
                await store.advance(step, [record_of(step)])
            refused += 1
        assert await store.incident(first.id) == (step if legal else first)
        assert len(await store.journal(first.id)) == 1 + legal
    assert refused > 100


async def test_incidents_come_newest_first(store: Store) -> None:
    """At most as many as asked for."""
    opened = [new_incident(f"i{n}", Scope(f"s{n}"), opened=NOW + n) for n in range(6)]
    for incident in random.Random(3).sample(opened, 6):
        await store.open_incident(incident, record_of(incident))
    newest = opened[::-1]
    assert await store.incidents(limit=4) == newest[:4]
    assert await store.incidents(open_only=True, limit=2) == newest[:2]
    assert await store.incidents(limit=0) == []


async def test_what_is_not_there_is_none(store: Store) -> None:
    """An unknown id or scope is no error."""
    assert await store.incident("nobody") is None
    assert await store.journal("nobody") == []
    assert await store.known_good(SCOPE) is None
    assert await store.all_known_good() == []
    assert await store.pause() is None
    assert await store.dead_letters() == []
    assert await store.firing_alerts() == []
    assert await store.incidents(open_only=True) == []
    assert await store.rule_states() == []
    assert await store.changes() == []


async def test_an_incident_keeps_floats_that_json_does_not_know(store: Store) -> None:
    """A ratio over nothing is infinite, and must not make the incident unreadable."""
    incident = odd_floats(new_incident())
    await store.open_incident(incident, record_of(incident))
    assert await store.incident("i1") == incident
    nan = msgspec.structs.replace(incident.triggers[0], value=math.nan)
    step = msgspec.structs.replace(stepped(incident), triggers=[nan])
    await store.advance(step, [])
    await store.advance(step, [])
    found = await store.incident("i1")
    assert found is not None
    assert math.isnan(found.triggers[0].value)
    assert found.triggers[0].annotations == {"summary": "nan"}


async def test_rule_instances_are_kept_as_they_are_now(store: Store, backend: Backend) -> None:
    """A later one replaces the one before, and all are there after a restart."""
    eu, us = rule_instance("eu"), rule_instance("us", seen=NOW + 1)
    other = rule_instance("eu", rule_id="r2", seen=NOW + 2)
    await store.put_rule_states([eu, us, other])
    await store.put_rule_states([])
    assert await store.rule_states() == [other, us, eu]
    fired = rule_instance("eu", "firing", seen=NOW + 3)
    await store.put_rule_states([fired])
    await store.close()
    reopened = await backend.store()
    assert await reopened.rule_states() == [fired, other, us]
    await reopened.close()


async def test_a_rule_instance_that_ended_is_forgotten(store: Store) -> None:
    """Unless somebody has seen it since: replicas share a store."""
    await store.put_rule_states([rule_instance("eu"), rule_instance("us", seen=NOW + 5)])
    ended = [rule_instance("eu", "inactive"), rule_instance("us", "inactive", seen=NOW + 4)]
    await store.put_rule_states([*ended, rule_instance("nobody", "inactive")])
    assert await store.rule_states() == [rule_instance("us", seen=NOW + 5)]
    await store.put_rule_states([rule_instance("us", seen=NOW + 1)])
    assert await store.rule_states() == [rule_instance("us", seen=NOW + 5)]


async def test_rule_instances_that_nobody_sees_are_forgotten(store: Store) -> None:
    """After a day."""
    await store.put_rule_states([rule_instance("old"), rule_instance("edge", seen=NOW + 1)])
    await store.put_rule_states([new := rule_instance("new", seen=NOW + DAY + 1)])
    assert await store.rule_states() == [new, rule_instance("edge", seen=NOW + 1)]


async def test_rule_instances_are_bounded(store: Store) -> None:
    """Of more than ten thousand, those that were seen last are kept."""
    many = [rule_instance(f"r{n}", seen=NOW + n) for n in range(10_005)]
    await store.put_rule_states(many)
    assert await store.rule_states() == many[:4:-1]
    await store.put_rule_states([more := rule_instance("more", seen=NOW + 20_000)])
    assert await store.rule_states() == [more, *many[:5:-1]]


async def test_the_newest_change_of_each_kind_and_scope_is_kept(
    store: Store, backend: Backend
) -> None:
    """In whatever order they come, and also after a restart."""
    deploy, flag, index = change("deploy", 3), change("flag", 2), change("index", 1)
    us = change("index", 4, scope=Scope("rag", "us-1"))
    await store.put_changes([us, change("flag", 1), deploy, flag])
    await store.put_changes([index, change("deploy", 2)])
    await store.put_changes([])
    assert await store.changes() == [index, flag, deploy, us]
    again = change("index", 1, after="docs_vC")
    await store.put_changes([again])
    await store.close()
    reopened = await backend.store()
    assert await reopened.changes() == [again, flag, deploy, us]
    await reopened.close()


async def test_changes_are_bounded(store: Store) -> None:
    """Of more than ten thousand the newest are kept, however old they are."""
    many = [change("index", n, scope=Scope("rag", f"r{n}")) for n in range(10_005)]
    await store.put_changes(many)
    assert await store.changes() == many[5:]
    await store.put_changes([more := change("index", 400 * DAY)])
    assert await store.changes() == [*many[6:], more]


async def test_the_newest_known_good_set_counts(store: Store) -> None:
    """One that arrives late does not replace a newer one."""
    old, new, other = (
        KnownGood(scope=SCOPE, pins={"PROMPT_VER": "p-1"}, recorded_at_ms=NOW),
        KnownGood(
            scope=SCOPE,
            pins={"PROMPT_VER": "p-2"},
            recorded_at_ms=NOW + 1,
            controls={"alias:docs": {"index": "docs_vA"}},
            baseline={"delta_s": {"p95": 0.41}},
        ),
        KnownGood(scope=Scope("a"), pins={}, recorded_at_ms=NOW),
    )
    for known_good in (new, old, other):
        await store.put_known_good(known_good)
    assert await store.known_good(SCOPE) == new
    assert await store.all_known_good() == [other, new]


async def test_a_pause_lasts_until_it_is_lifted(store: Store, backend: Backend) -> None:
    """Also over a restart."""
    await store.set_pause(Pause(reason="first", by="ann", since_ms=NOW))
    pause = Pause(reason="maintenance", by="ann", since_ms=NOW + 1)
    await store.set_pause(pause)
    await store.close()
    reopened = await backend.store()
    assert await reopened.pause() == pause
    await reopened.set_pause(None)
    await reopened.set_pause(None)
    assert await reopened.pause() is None
    await reopened.close()


async def test_dead_letters_are_bounded(store: Store) -> None:
    """The newest thousand, newest first, and at most 64 KiB of each."""
    body = bytes(range(256)) * 300
    for number in range(1_003):
        await store.bury(
            DeadLetter(source="kafka", reason="not JSON", body=body[:10], at_ms=number)
        )
    await store.bury(DeadLetter(source="kafka", reason="too long", body=body, at_ms=1_003))
    newest, *others = await store.dead_letters(2_000)
    assert newest.body == body[:65_536]
    assert [letter.at_ms for letter in others] == list(range(1_002, 3, -1))
    assert len(await store.dead_letters(5)) == 5


async def test_what_was_committed_is_there_after_reopening(store: Store, backend: Backend) -> None:
    """A restart finds the inbox, the incidents and their journal."""
    incident = new_incident()
    await store.accept([alert_entry()])
    await store.open_incident(incident, record_of(incident))
    await store.close()
    reopened = await backend.store()
    assert await reopened.unhandled(10) == [alert_entry()]
    assert await reopened.incidents(open_only=True) == [incident]
    assert await reopened.journal("i1") == [record_of(incident)]
    await reopened.close()


async def test_a_closed_store_says_so(store: Store) -> None:
    """Closing twice is fine; a call after it is refused, not hung."""
    await store.ping()
    await store.close()
    await store.close()
    with pytest.raises(TemporaryError, match="is closed"):
        await store.ping()


async def test_cancelled_calls_leave_the_store_usable(store: Store) -> None:
    """Whatever was cut off happened wholly or not at all, and no reply goes to the wrong call."""
    first = new_incident()
    await store.open_incident(first, record_of(first))
    dice = random.Random(5)

    async def cut_off(call: Awaitable[object]) -> None:
        task = asyncio.ensure_future(call)
        for _ in range(dice.randrange(8)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    step = stepped(first)
    for round_ in range(60):
        await asyncio.gather(
            cut_off(store.accept([alert_entry(f"f{round_}"), alert_entry(f"g{round_}")])),
            cut_off(store.next_epoch(SCOPE)),
            cut_off(store.advance(step, [record_of(step)])),
            cut_off(store.incidents()),
        )
    found = await store.incident("i1")
    assert found in (first, step)
    assert len(await store.journal("i1")) == (2 if found == step else 1)
    keys = {entry.alert.fingerprint[1:] for entry in await store.unhandled(1_000)}
    assert len(await store.unhandled(1_000)) == 2 * len(keys)
    assert await store.next_epoch(SCOPE) < await store.next_epoch(SCOPE)
