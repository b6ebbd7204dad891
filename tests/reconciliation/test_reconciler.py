"""What is asked, of what time, how often; and what cannot be known says so."""

import asyncio
from collections.abc import Awaitable

import pytest
from msgspec.structs import replace

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.model.incidents import Incident, MeasureStatus, State
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import EffectVerdict, Reconciliation
from tests.incidents.manual_time import until
from tests.incidents.samples import MINUTE, opened
from tests.incidents.samples import NOW as OPENED
from tests.incidents.walking import Walk
from tests.reconciliation.samples import NOW, SCOPE, effect, entry
from tests.reconciliation.world import World


async def finished(world: World, work: Awaitable[Reconciliation]) -> Reconciliation:
    """Let time pass until it is done."""
    task = asyncio.ensure_future(work)
    await until(world.clock, task.done)
    return task.result()


async def compared(world: World, scope: Scope = SCOPE) -> Reconciliation:
    asked = world.reconciler.compare(scope, NOW - 1_000, NOW + 1_000)
    return await finished(world, asked)


async def test_both_sides_are_read_beyond_the_edges() -> None:
    """By what it takes to settle, so that nothing at an edge looks one-sided."""
    world = World([entry()], [effect()])
    found = await compared(world)
    assert world.bank.asked == [(SCOPE, NOW - 1_500, NOW + 1_500)]
    assert (found.listing, found.from_ms, found.to_ms) == ("bank", NOW - 1_000, NOW + 1_000)
    assert (found.is_known, found.counts[EffectVerdict.OK], found.open_items) == (True, 1, 0)


async def test_a_receipt_from_long_before_is_found_by_its_key() -> None:
    """The effect was made late; it is not extra for that."""
    found = await compared(World([entry(at_ms=NOW - 9_000)], [effect()]))
    assert found.open_items == 0


async def test_guards_are_asked_of_what_is_not_sealed() -> None:
    """And of all that they have open, which they say by themselves."""
    doubt = entry("doubt", "e4", "unknown")
    sealed = entry("lost", "e3")
    world = World(
        [entry(), entry("open", "e2", "pending")],
        [effect(), effect("lost", "e3"), effect("doubt", "e4")],
        guards=[doubt, sealed],
    )
    found = await compared(world)
    assert world.guards is not None
    assert world.guards.asked == [["doubt", "lost", "open"]]
    assert (found.open_items, found.settled) == (0, {"was_made": 1, "not_made": 1})


async def test_without_a_listing_nothing_is_asked() -> None:
    """And that is not the same as not knowing."""
    world = World([entry()])
    found = await compared(world, Scope("mail"))
    assert (found.listing, found.unavailable, found.is_known) == ("", "", False)
    assert not world.reconciler.lists(Scope("mail"))
    assert world.reconciler.lists(Scope("payments", "eu-1"))
    assert world.bank.asked == []


async def test_what_is_too_fresh_is_waited_for() -> None:
    """Until it has settled: a receipt that comes meanwhile settles it."""
    world = World([], [effect(time_ms=NOW + 5_000)])
    task = asyncio.ensure_future(world.reconciler.compare(SCOPE, NOW, NOW + 5_000))
    await until(world.clock, lambda: bool(world.bank.asked))
    world.ledger.entries.append(entry(at_ms=NOW + 5_000))
    await until(world.clock, task.done)
    assert (task.result().open_items, task.result().counts[EffectVerdict.OK]) == (0, 1)
    assert len(world.bank.asked) == 2


async def test_what_stays_fresh_is_open_in_the_end() -> None:
    """Something that changes all the time is not waited for for ever."""
    world = World([], [effect(time_ms=NOW + 60_000)])
    found = await finished(world, world.reconciler.compare(SCOPE, NOW, NOW + 90_000))
    assert (found.open_items, found.waiting) == (1, 1)
    assert world.clock.now() - NOW - 5_000 <= 10_000


async def test_without_patience_it_is_asked_once() -> None:
    world = World([], [effect(time_ms=NOW + 5_000)])
    found = await world.reconciler.compare(SCOPE, NOW, NOW + 5_000, patient=False)
    assert (found.waiting, len(world.bank.asked)) == (1, 1)


async def test_a_short_outage_is_no_finding() -> None:
    world = World([entry()], [effect()])
    world.bank.failures = [TemporaryError("down"), TemporaryError("down")]
    assert (await compared(world)).is_known
    assert len(world.bank.asked) == 3


@pytest.mark.parametrize(
    ("error", "times", "said"),
    [
        (TemporaryError("it is down"), 11, "it is down"),
        (PermanentError("no such path"), 1, "no such path"),
        (RuntimeError("a defect"), 1, "the comparison failed; the log says why"),
    ],
)
async def test_what_cannot_be_compared_says_why(error: Exception, times: int, said: str) -> None:
    """It is neither agreement nor disagreement."""
    world = World([entry()], [effect()])
    world.bank.failures = [error] * 99
    found = await compared(world)
    assert (found.listing, found.unavailable, found.is_known) == ("bank", said, False)
    assert found.in_words == f"not known: {said}"
    assert len(world.bank.asked) == times


async def test_a_ledger_with_a_gap_says_nothing() -> None:
    """What it dropped would look extra."""
    world = World([entry()], [effect()])
    world.ledger.dropped_until_ms = NOW - 1_000
    assert "the ledger has dropped receipts" in (await compared(world)).unavailable
    world.ledger.dropped_until_ms = NOW - 1_001
    assert (await compared(world)).is_known


async def test_an_export_is_compared_up_to_when_it_was_written() -> None:
    """What came later cannot be in it; one from before the freeze proves nothing."""
    world = World([entry(), entry("later", "e2", at_ms=NOW + 900)], [effect()])
    world.bank.until_ms = NOW + 600
    found = await compared(world)
    assert (found.open_items, found.to_ms) == (0, NOW + 100)
    asked = world.reconciler.compare(SCOPE, NOW, NOW + 1_000, needed_until_ms=NOW + 601)
    assert "before the time that is asked about" in (await asked).unavailable


def frozen() -> Incident:
    """An incident whose writers are frozen, and which is watched."""
    walk = Walk(opened("duplicate_effects"))
    return walk.to(State.WATCHING)


async def test_an_incident_is_compared_from_its_first_trigger_to_now() -> None:
    """With the look back: the trigger fired because of what was before it."""
    world = World()
    found = await finished(world, world.reconciler.reconcile(frozen()))
    assert (found.from_ms, found.to_ms) == (OPENED - 2 * MINUTE, NOW + 5_000)
    assert world.metric("reconciliations_total", result="clean") == 1
    assert world.metric("reconciliation_open_items", scope="rag/eu-1") == 0


async def test_after_the_reopening_only_what_was_before_it_counts() -> None:
    """The audit looks at the incident, not at what goes on (A4)."""
    incident = frozen()
    ledger = [
        replace(each, status=MeasureStatus.RESTORED, ended_at_ms=NOW + 2_000)
        for each in incident.ledger
    ]
    audited = replace(incident, state=State.AUDITING, ledger=ledger, entered_at_ms=NOW + 4_000)
    there = [effect("in", time_ms=NOW + 1_999), effect("out", time_ms=NOW + 2_000)]
    found = await finished(world := World([], there), world.reconciler.reconcile(audited))
    assert [item.key for item in found.items] == ["in"]
    assert world.metric("reconciliations_total", result="open") == 1
    assert world.metric("reconciliation_items", scope="rag/eu-1", verdict="extra") == 1


async def test_what_a_person_accepted_is_not_open() -> None:
    incident = replace(frozen(), frozen_at_ms=NOW)
    world = World([], [effect()])
    first = await finished(world, world.reconciler.reconcile(incident))
    assert first.open_items == 1
    accepting = replace(incident, accepted_items=first.items)
    again = await finished(world, world.reconciler.reconcile(accepting))
    assert (again.open_items, again.accepted) == (0, 1)


async def test_unknown_and_unlisted_are_counted_apart() -> None:
    world = World()
    world.bank.failures = [PermanentError("x")]
    await finished(world, world.reconciler.reconcile(frozen()))
    await world.reconciler.reconcile(replace(frozen(), scope=Scope("mail")))
    assert world.metric("reconciliations_total", result="unavailable") == 1
    assert world.metric("reconciliations_total", result="unlisted") == 1


async def test_closing_closes_the_listings() -> None:
    world = World()
    await world.reconciler.close()
    assert world.bank.closed
