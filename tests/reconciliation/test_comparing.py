"""The ledger against what is there downstream: what each pair comes to, and what holds for all."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rollbackd.model.facts import EffectStatus
from rollbackd.model.reconciliation import (
    MOST_ITEMS,
    DownstreamEffect,
    EffectVerdict,
    LedgerEntry,
    ReconciledItem,
    Resolution,
    merged,
)
from rollbackd.reconciliation.comparing import reconcile, summed
from tests.reconciliation.samples import NOW, WINDOW, effect, entry


def judged(ledger: list[LedgerEntry], there: list[DownstreamEffect]) -> ReconciledItem:
    (item,) = reconcile(ledger, there, WINDOW)
    return item


@pytest.mark.parametrize(
    ("ledger", "there", "verdict", "resolution"),
    [
        (["sealed e1"], ["e1"], "ok", "none"),
        (["sealed "], ["e1"], "ok", "none"),
        (["sealed e1"], [""], "ok", "none"),
        (["sealed e1", "sealed "], ["e1"], "ok", "none"),
        (["sealed e1"], ["e1", "e1"], "ok", "none"),
        (["sealed e1", "unknown e2"], ["e1"], "ok", "none"),
        (["failed e1"], [], "ok", "none"),
        (["pending e1"], ["e1"], "ok", "was_made"),
        (["unknown "], ["e1"], "ok", "was_made"),
        (["pending e1", "unknown e2"], ["e2"], "ok", "was_made"),
        (["pending e1"], [], "ok", "not_made"),
        (["unknown e1", "failed e1"], [], "ok", "not_made"),
        (["sealed e1"], [], "missing", "make_or_correct"),
        ([], ["e1"], "extra", "undo_or_record"),
        (["failed e1"], ["e1"], "extra", "undo_or_record"),
        (["sealed e1"], ["e2"], "conflict", "keep_one"),
        (["sealed e1"], ["e1", "e2"], "conflict", "keep_one"),
        (["sealed e1", "sealed e2"], ["e1"], "conflict", "keep_one"),
        (["sealed e1", "sealed e2"], [], "conflict", "keep_one"),
        (["unknown e1"], ["e2"], "conflict", "keep_one"),
        ([], ["e1", "e2"], "conflict", "keep_one"),
    ],
)
def test_each_pair_has_one_verdict(
    ledger: list[str], there: list[str], verdict: str, resolution: str
) -> None:
    """Sealed, in doubt, failed or never heard of, against nothing, one or two effects."""
    said = [entry(effect_id=text.split(" ")[1], status=text.split(" ")[0]) for text in ledger]
    item = judged(said, [effect(effect_id=each) for each in there])
    assert (item.verdict, item.resolution) == (verdict, resolution)
    assert item.is_open is (verdict != "ok")


@pytest.mark.parametrize(
    ("ledger", "there"),
    [
        ([entry()], []),
        ([entry(status="pending")], []),
        ([], [effect()]),
        ([entry(effect_id="e2")], [effect()]),
    ],
)
def test_what_is_too_fresh_waits(ledger: list[LedgerEntry], there: list[DownstreamEffect]) -> None:
    """A receipt may be on its way, a listing may lag; nothing is missing before that is over."""
    (item,) = reconcile(ledger, there, replace(WINDOW, settled_ms=NOW - 1))
    assert (item.is_open, item.resolution) == (True, Resolution.WAIT)
    (item,) = reconcile(ledger, there, replace(WINDOW, settled_ms=NOW))
    assert item.resolution is not Resolution.WAIT


@pytest.mark.parametrize("status", ["sealed", "pending", "unknown"])
def test_what_agrees_is_not_waited_for(status: str) -> None:
    """However fresh: what is there stays there."""
    (item,) = reconcile([entry(status=status)], [effect()], replace(WINDOW, settled_ms=0))
    assert item.verdict is EffectVerdict.OK


@pytest.mark.parametrize(
    ("ledger_ms", "there_ms", "verdicts"),
    [
        (NOW - 1_001, NOW - 1_000, [EffectVerdict.OK]),
        (NOW - 1_000, NOW - 1_001, [EffectVerdict.OK]),
        (NOW + 1_000, NOW + 1_001, [EffectVerdict.OK]),
        (NOW - 1_001, NOW - 1_001, []),
        (NOW + 1_001, NOW + 1_001, []),
        (NOW - 5_000, None, [EffectVerdict.OK]),
    ],
)
def test_a_key_at_the_edge_is_judged_by_both_sides(
    ledger_ms: int, there_ms: int | None, verdicts: list[EffectVerdict]
) -> None:
    """What one side has just inside and the other just outside agrees all the same."""
    items = reconcile([entry(at_ms=ledger_ms)], [effect(time_ms=there_ms)], WINDOW)
    assert [item.verdict for item in items] == verdicts


def test_what_is_accepted_stays_so_until_something_else_is_found() -> None:
    """A person accepts what they have seen, not the key for ever."""
    extra = judged([], [effect()])
    (again,) = reconcile([], [effect()], WINDOW, accepted=[extra])
    assert (again.resolution, again.is_open) == (Resolution.ACCEPTED, False)
    (twice,) = reconcile([], [effect(), effect(effect_id="e2")], WINDOW, accepted=[extra])
    assert twice.is_open


def test_the_sum_counts_all_and_names_the_first() -> None:
    ledger = [entry(f"m{i:04}") for i in range(150)] + [entry("d", status="unknown"), entry("ok")]
    items = reconcile(ledger, [effect("ok"), effect("x")], WINDOW, accepted=[])
    accepted = [item for item in items if item.key == "x"]
    items = reconcile(ledger, [effect("ok"), effect("x")], WINDOW, accepted=accepted)
    found = summed(items, WINDOW, at_ms=NOW, listing="bank")
    assert found.counts == {"ok": 2, "missing": 150, "extra": 1, "conflict": 0}
    assert (found.open_items, len(found.items), found.accepted) == (150, MOST_ITEMS, 1)
    assert found.settled == {Resolution.NOT_MADE: 1}
    assert found.in_words == (
        "2 ok, 150 missing, 1 extra, 0 conflict, 1 accepted; open: m0000 (missing),"
        " m0001 (missing), m0002 (missing), m0003 (missing), m0004 (missing), 145 more"
    )


_KEYS = st.sampled_from(["a", "b", "c"])
_IDS = st.sampled_from(["", "e1", "e2"])
_TIMES = st.integers(NOW - 2_000, NOW + 2_000)
_ENTRIES = st.builds(
    lambda key, effect_id, status, at_ms: entry(key, effect_id, status, at_ms=at_ms),
    _KEYS, _IDS, st.sampled_from([str(each) for each in EffectStatus]), _TIMES,
)  # fmt: skip
_EFFECTS = st.builds(effect, _KEYS, st.sampled_from(["e1", "e2"]), _TIMES | st.none())


@given(st.lists(_ENTRIES), st.lists(_EFFECTS), st.randoms())
def test_order_and_repetition_change_nothing(
    ledger: list[LedgerEntry], there: list[DownstreamEffect], chance: random.Random
) -> None:
    """Both sides deliver at least once, in any order."""
    once = reconcile(ledger, there, WINDOW)
    twice, again = [*ledger, *ledger], [*there, *there]
    chance.shuffle(twice)
    chance.shuffle(again)
    assert reconcile(twice, again, WINDOW) == once


def test_what_began_before_the_window_and_ended_after_it_is_in_it() -> None:
    """One receipt before, one within, one after: merged, neither end lies in the window."""
    times = (WINDOW.from_ms - 1_000, WINDOW.from_ms + 1, WINDOW.to_ms + 1_000)
    ledger = [entry("a", "", EffectStatus.PENDING, at_ms=at_ms) for at_ms in times]
    assert [item.key for item in reconcile(ledger, [], WINDOW)] == ["a"]


@given(st.lists(_ENTRIES), st.lists(_EFFECTS))
def test_every_key_of_the_window_has_one_item(
    ledger: list[LedgerEntry], there: list[DownstreamEffect]
) -> None:
    """By key; and the sum loses none of them."""
    items = reconcile(ledger, there, WINDOW)
    keys = [item.key for item in items]
    inside = {e.key for e in ledger if WINDOW.has(e.first_ms) or WINDOW.has(e.last_ms)}
    inside |= {e.key for e in there if e.time_ms is None or WINDOW.has(e.time_ms)}
    assert set(keys) >= inside
    assert keys == sorted(set(keys))
    found = summed(items, WINDOW, at_ms=NOW, listing="x")
    assert sum(found.counts.values()) == len(items)
    assert found.open_items == sum(item.is_open for item in items)


@given(st.lists(_ENTRIES), st.lists(_EFFECTS))
def test_two_effects_under_one_key_are_never_ok(
    ledger: list[LedgerEntry], there: list[DownstreamEffect]
) -> None:
    """The one thing that must not be overlooked (D4, X4)."""
    verdicts = {item.key: item.verdict for item in reconcile(ledger, there, WINDOW)}
    for key, verdict in verdicts.items():
        if len({each.effect_id for each in there if each.key == key}) > 1:
            assert verdict is EffectVerdict.CONFLICT
        if verdict is EffectVerdict.OK and not any(each.key == key for each in there):
            assert not any(e.key == key and e.status is EffectStatus.SEALED for e in ledger)


@given(st.lists(_EFFECTS))
def test_a_ledger_of_what_is_there_agrees(there: list[DownstreamEffect]) -> None:
    """Once a ledger says of each key what is there, and nothing else, only doubles are left."""
    told = [entry(each.key, each.effect_id, at_ms=each.time_ms or NOW) for each in there]
    doubled = {key for key, n in _counts(there).items() if n > 1}
    found = reconcile(told, there, WINDOW)
    assert {item.key for item in found if item.is_open} == doubled & {i.key for i in found}


def _counts(there: list[DownstreamEffect]) -> dict[str, int]:
    ids: dict[str, set[str]] = {}
    for each in there:
        ids.setdefault(each.key, set()).add(each.effect_id)
    return {key: len(found) for key, found in ids.items()}


@given(st.lists(_ENTRIES, min_size=3, max_size=3))
def test_merging_is_a_semilattice(three: list[LedgerEntry]) -> None:
    """So the ledger is the same whoever heard what first."""
    a, b, c = (replace(each, key="a", effect_id="e1") for each in three)
    assert merged(a, a) == a
    assert merged(a, b) == merged(b, a)
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
