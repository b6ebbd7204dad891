"""What every ledger of receipts does, on every backend."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rollbackd.model.facts import EffectStatus
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import LedgerChange, LedgerEntry, LedgerPage, Retention
from rollbackd.ports import ReceiptLedger
from tests.backends import Backend
from tests.stores.samples import DAY, NOW, SCOPE

KEEP = Retention(age_ms=DAY, keys=100)


@pytest.fixture
async def ledger(backend: Backend) -> AsyncIterator[ReceiptLedger]:
    """An empty ledger."""
    opened = await backend.receipts()
    yield opened
    await opened.close()
    await opened.close()


def entry(key: str = "k1", effect_id: str = "e1", **changes: Any) -> LedgerEntry:
    at_ms = changes.pop("at_ms", NOW)
    known: dict[str, Any] = {
        "scope": SCOPE,
        "status": EffectStatus.SEALED,
        "action": "charge",
        "first_ms": at_ms,
        "last_ms": at_ms,
    }
    return LedgerEntry(key=key, effect_id=effect_id, **(known | changes))


async def put(
    ledger: ReceiptLedger, *entries: LedgerEntry, keep: Retention = KEEP, now_ms: int = NOW
) -> LedgerChange:
    return await ledger.put(entries, retention=keep, now_ms=now_ms)


async def everything(ledger: ReceiptLedger, scope: Scope = SCOPE) -> LedgerPage:
    return await ledger.page(scope, 0, NOW + DAY)


async def test_an_empty_ledger_has_nothing(ledger: ReceiptLedger) -> None:
    assert await everything(ledger) == LedgerPage(entries=[])
    assert await ledger.of_keys(SCOPE, []) == []
    assert await put(ledger) == LedgerChange()


async def test_the_same_receipt_again_changes_nothing(ledger: ReceiptLedger) -> None:
    """At least once in, once kept; also twice in one call."""
    assert await put(ledger, entry(), entry()) == LedgerChange(changed=1)
    assert await put(ledger, entry()) == LedgerChange()
    assert (await everything(ledger)).entries == [entry()]


async def test_one_key_with_two_effects_keeps_both(ledger: ReceiptLedger) -> None:
    """That is what the ledger is for (D4)."""
    await put(ledger, entry())
    change = await put(ledger, entry(effect_id="e2", at_ms=NOW + 1))
    assert change == LedgerChange(changed=1, doubled=1)
    assert (await put(ledger, entry(effect_id="e3"))).doubled == 0
    assert [e.effect_id for e in await ledger.of_keys(SCOPE, ["k1"])] == ["e1", "e3", "e2"]


async def test_sealed_is_final_and_everything_else_goes_by_time(ledger: ReceiptLedger) -> None:
    """In whatever order receipts come: the times say when it was first and last heard of."""
    said = [
        entry(status=EffectStatus.PENDING, at_ms=NOW),
        entry(status=EffectStatus.SEALED, at_ms=NOW + 5),
        entry(status=EffectStatus.UNKNOWN, at_ms=NOW + 9),
    ]
    for seed in range(6):
        key = f"k{seed}"
        shuffled = [_renamed(each, key) for each in said]
        random.Random(seed).shuffle(shuffled)
        for each in shuffled:
            await put(ledger, each)
        (kept,) = await ledger.of_keys(SCOPE, [key])
        assert (kept.status, kept.first_ms, kept.last_ms) == (EffectStatus.SEALED, NOW, NOW + 9)


def _renamed(known: LedgerEntry, key: str) -> LedgerEntry:
    return entry(key, status=known.status, at_ms=known.first_ms)


async def test_a_seal_says_how_long_it_took(ledger: ReceiptLedger) -> None:
    """From the first word on the effect (O5); a seal that comes alone says nothing of it."""
    doubt = entry("a", status=EffectStatus.PENDING)
    assert (await put(ledger, doubt, entry("b"))).sealed_after_ms == []
    assert (await put(ledger, entry("a", at_ms=NOW + 250))).sealed_after_ms == [250]
    assert (await put(ledger, entry("a", at_ms=NOW + 250))).sealed_after_ms == []


async def test_a_page_has_what_was_heard_of_in_a_time(ledger: ReceiptLedger) -> None:
    """Both ends included, by key; what began before and went on inside is there too."""
    long = entry("long", first_ms=NOW - 100, last_ms=NOW + 100)
    await put(ledger, entry("b"), entry("a"), long, entry("late", at_ms=NOW + 1))
    await put(ledger, entry("early", at_ms=NOW - 1))
    page = await ledger.page(SCOPE, NOW, NOW)
    assert [each.key for each in page.entries] == ["a", "b", "long"]
    assert [each.key for each in (await ledger.page(SCOPE, NOW, NOW + 1)).entries] == [
        "a", "b", "late", "long",
    ]  # fmt: skip


async def test_scopes_are_kept_apart(ledger: ReceiptLedger) -> None:
    """Also in what is dropped."""
    other = Scope("pay", "eu-1")
    await put(ledger, entry(), entry(scope=other, effect_id="e9"))
    assert [e.effect_id for e in (await everything(ledger, other)).entries] == ["e9"]
    await put(ledger, entry("k2", at_ms=NOW + 1), keep=Retention(age_ms=DAY, keys=1))
    assert (await everything(ledger, other)).dropped_until_ms is None


async def test_too_much_drops_the_oldest_and_says_so(ledger: ReceiptLedger) -> None:
    """Until when, so that nobody takes a gap for an effect that was never made."""
    keep = Retention(age_ms=DAY, keys=3)
    await put(ledger, *(entry(f"k{i}", at_ms=NOW + i) for i in range(3)), keep=keep)
    change = await put(ledger, entry("k3", at_ms=NOW + 3), entry("k4", at_ms=NOW + 4), keep=keep)
    assert change == LedgerChange(changed=2, surplus=2)
    page = await everything(ledger)
    assert [each.key for each in page.entries] == ["k2", "k3", "k4"]
    assert page.dropped_until_ms == NOW + 1


async def test_what_is_too_old_is_dropped_when_the_next_one_comes(ledger: ReceiptLedger) -> None:
    """By when it was heard of last, and the count of the scope follows."""
    keep = Retention(age_ms=1_000, keys=2)
    await put(ledger, entry("a"), entry("b", first_ms=NOW - 9_000), keep=keep)
    change = await put(ledger, entry("c", at_ms=NOW + 1_001), keep=keep, now_ms=NOW + 1_001)
    assert change == LedgerChange(changed=1, expired=2)
    more = await put(ledger, entry("d", at_ms=NOW + 1_002), keep=keep, now_ms=NOW + 1_002)
    assert more == LedgerChange(changed=1)
    page = await everything(ledger)
    assert ([each.key for each in page.entries], page.dropped_until_ms) == (["c", "d"], NOW)


async def test_a_key_keeps_sixteen_effects(ledger: ReceiptLedger) -> None:
    """A fault that makes a new effect id each time must not fill the store; sealed ones stay."""
    doubts = [entry(effect_id=f"d{i:02}", status=EffectStatus.UNKNOWN) for i in range(40)]
    await put(ledger, *doubts)
    await put(ledger, entry(effect_id="z", at_ms=NOW + 5))
    kept = await ledger.of_keys(SCOPE, ["k1"])
    assert (len(kept), kept[0].effect_id) == (16, "z")


async def test_many_at_once_are_read_back(ledger: ReceiptLedger) -> None:
    """More than one round trip holds."""
    many = [entry(f"k{i:05}", at_ms=NOW + i) for i in range(1_800)]
    assert (await put(ledger, *many, keep=Retention(age_ms=DAY, keys=5_000))).changed == 1_800
    assert (await everything(ledger)).entries == many
    assert await ledger.of_keys(SCOPE, [each.key for each in many[::-1]]) == many


async def test_two_who_hear_of_one_key_at_once_keep_both_effects(backend: Backend) -> None:
    """Replicas read different partitions, and an effect that was made twice may be in two."""
    one = await backend.receipts()
    other = one if backend.__class__.__name__.startswith("SQLite") else await backend.receipts()
    await asyncio.gather(
        *(
            put(ledger, *(entry(f"k{i}", effect_id) for i in range(20)))
            for ledger, effect_id in ((one, "e1"), (other, "e2")) * 3
        )
    )
    kept = [each.effect_id for each in (await everything(one)).entries]
    assert kept == ["e1", "e2"] * 20
    await one.close()
    await other.close()


async def test_it_survives_a_restart(backend: Backend) -> None:
    ledger = await backend.receipts()
    await put(ledger, entry())
    await ledger.close()
    again = await backend.receipts()
    assert (await everything(again)).entries == [entry()]
    await again.close()
