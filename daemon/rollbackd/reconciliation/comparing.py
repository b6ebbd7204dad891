"""The ledger of receipts against the effects that are there downstream, key by key. Pure.

Whoever asks reads both sides a little beyond the window: an effect at its edge may have been
written down on one side just before it and on the other just after. A key is judged when either
side names it inside the window, and then by everything that is known of it.

| ledger             | downstream           | verdict                                     |
|--------------------|----------------------|---------------------------------------------|
| sealed             | the same effect      | ok                                          |
| sealed             | nothing              | missing                                     |
| pending, unknown   | the effect           | ok: it was made (K14)                       |
| pending, unknown   | nothing              | ok: it was not made (K14)                   |
| failed, or nothing | nothing              | ok                                          |
| failed, or nothing | an effect            | extra                                       |
| sealed twice       | whatever             | conflict                                    |
| whatever           | two effects          | conflict                                    |
| an effect id       | another effect id    | conflict                                    |

What is not ok, or is in doubt, and was touched after `Window.settled_ms` is open with `wait`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

import msgspec

from rollbackd.model.facts import EffectStatus
from rollbackd.model.reconciliation import (
    MOST_ITEMS,
    DownstreamEffect,
    DownstreamState,
    EffectVerdict,
    LedgerEntry,
    LedgerState,
    ReconciledItem,
    Reconciliation,
    Resolution,
    Window,
    merged,
)

_TO_DO = {
    EffectVerdict.MISSING: Resolution.MAKE_OR_CORRECT,
    EffectVerdict.EXTRA: Resolution.UNDO_OR_RECORD,
    EffectVerdict.CONFLICT: Resolution.KEEP_ONE,
}
_IN_DOUBT = (LedgerState.PENDING, LedgerState.UNKNOWN)


def reconcile(
    ledger: Iterable[LedgerEntry],
    downstream: Iterable[DownstreamEffect],
    window: Window,
    *,
    accepted: Collection[ReconciledItem] = (),
) -> list[ReconciledItem]:
    """One item for each key of the window, by key.

    The order of the input and repetitions in it change nothing. What a person has accepted stays so
    while exactly that is found again.
    """
    entries, effects = _by_key(ledger), defaultdict[str, list[DownstreamEffect]](list)
    for effect in downstream:
        effects[effect.key].append(effect)
    waved_through = {item.key: item.finding for item in accepted}
    items = []
    for key in sorted({*entries, *effects}):
        if not _inside(entries[key], effects[key], window):
            continue
        item = _judged(key, entries[key], effects[key], window)
        if item.is_open and waved_through.get(key) == item.finding:
            item = msgspec.structs.replace(item, resolution=Resolution.ACCEPTED)
        items.append(item)
    return items


def summed(
    items: Iterable[ReconciledItem], window: Window, *, at_ms: int, listing: str
) -> Reconciliation:
    """The items in numbers, with the first of those that are open."""
    verdicts: Counter[EffectVerdict] = Counter(dict.fromkeys(EffectVerdict, 0))
    settled: Counter[Resolution] = Counter()
    open_items: list[ReconciledItem] = []
    accepted = 0
    for item in items:
        verdicts[item.verdict] += 1
        settled[item.resolution] += item.resolution in {Resolution.WAS_MADE, Resolution.NOT_MADE}
        accepted += item.resolution is Resolution.ACCEPTED
        open_items += [item] if item.is_open else []
    return Reconciliation(
        at_ms=at_ms,
        from_ms=window.from_ms,
        to_ms=window.to_ms,
        listing=listing,
        counts=dict(verdicts),
        settled={each: count for each, count in sorted(settled.items()) if count},
        accepted=accepted,
        items=open_items[:MOST_ITEMS],
        open_items=len(open_items),
        waiting=sum(item.resolution is Resolution.WAIT for item in open_items),
    )


def _by_key(ledger: Iterable[LedgerEntry]) -> defaultdict[str, list[LedgerEntry]]:
    known: dict[object, LedgerEntry] = {}
    for entry in ledger:
        before = known.get(entry.identity)
        known[entry.identity] = merged(before, entry) if before is not None else entry
    by_key = defaultdict[str, list[LedgerEntry]](list)
    for entry in known.values():
        by_key[entry.key].append(entry)
    return by_key


def _inside(
    entries: Collection[LedgerEntry], effects: Collection[DownstreamEffect], window: Window
) -> bool:
    """An effect that does not say when it was made counts: the listing was asked for the window."""
    told = any(window.meets(entry.first_ms, entry.last_ms) for entry in entries)
    return told or any(each.time_ms is None or window.has(each.time_ms) for each in effects)


def _judged(
    key: str,
    entries: Collection[LedgerEntry],
    effects: Collection[DownstreamEffect],
    window: Window,
) -> ReconciledItem:
    there = sorted({effect.effect_id for effect in effects})
    state, claimed = _ledger_state(entries)
    verdict = _verdict(state, claimed, there)
    resolution = _TO_DO.get(verdict, Resolution.NONE)
    if verdict is EffectVerdict.OK and state in _IN_DOUBT:
        resolution = Resolution.WAS_MADE if there else Resolution.NOT_MADE
    lasting = verdict is EffectVerdict.OK and resolution is not Resolution.NOT_MADE
    if not lasting and _newest(entries, effects) > window.settled_ms:
        # neither has it failed yet, nor is it known that it will
        verdict = EffectVerdict.MISSING if verdict is EffectVerdict.OK else verdict
        resolution = Resolution.WAIT
    double = DownstreamState.DOUBLE if len(there) > 1 else DownstreamState.PRESENT
    return ReconciledItem(
        key=key,
        ledger_state=state,
        downstream_state=double if there else DownstreamState.ABSENT,
        verdict=verdict,
        resolution=resolution,
        ledger_effects=sorted({entry.effect_id for entry in entries if entry.effect_id}),
        downstream_effects=there,
    )


def _ledger_state(entries: Collection[LedgerEntry]) -> tuple[LedgerState, set[str]]:
    """What the receipts come to, and the effect ids that stand for it; empty for any."""
    by_status = defaultdict[EffectStatus, set[str]](set)
    for entry in entries:
        by_status[entry.status].add(entry.effect_id)
    if sealed := by_status[EffectStatus.SEALED]:
        named = sealed - {""}
        return (
            LedgerState.SEALED if len(named) < 2 else LedgerState.SEALED_TWICE
        ), named  # one key has one effect
    for status in (EffectStatus.UNKNOWN, EffectStatus.PENDING):
        if by_status[status]:
            doubted = by_status[EffectStatus.UNKNOWN] | by_status[EffectStatus.PENDING]
            return LedgerState(status.value), set() if "" in doubted else doubted
    if by_status[EffectStatus.FAILED]:
        return LedgerState.FAILED, set()
    return LedgerState.ABSENT, set()


def _verdict(state: LedgerState, claimed: set[str], there: Collection[str]) -> EffectVerdict:
    if state is LedgerState.SEALED_TWICE or len(there) > 1:
        return EffectVerdict.CONFLICT
    if not there:
        return EffectVerdict.MISSING if state is LedgerState.SEALED else EffectVerdict.OK
    if state in {LedgerState.FAILED, LedgerState.ABSENT}:
        return EffectVerdict.EXTRA
    (effect_id,) = there
    fits = not claimed or not effect_id or effect_id in claimed
    return EffectVerdict.OK if fits else EffectVerdict.CONFLICT


def _newest(entries: Iterable[LedgerEntry], effects: Iterable[DownstreamEffect]) -> int:
    times = [entry.last_ms for entry in entries]
    times += [effect.time_ms for effect in effects if effect.time_ms is not None]
    return max(times, default=0)
