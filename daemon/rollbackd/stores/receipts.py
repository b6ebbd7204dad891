"""What both ledgers of receipts share: one row a key, with every effect that it was heard with."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from rollbackd.errors import PermanentError
from rollbackd.model.facts import EffectStatus
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import LedgerChange, LedgerEntry, merged

#: Effect ids that are kept of one key; two of them are a finding already.
MOST_EFFECTS: Final = 16
_TWO: Final = 2
#: Keys that are read or written at once.
CHUNK: Final = 500


def by_key(entries: Iterable[LedgerEntry]) -> dict[tuple[Scope, str], list[LedgerEntry]]:
    """The entries of each key of each scope, merged."""
    grouped = defaultdict[tuple[Scope, str], list[LedgerEntry]](list)
    for entry in entries:
        grouped[entry.scope, entry.key].append(entry)
    return {where: joined((), heard) for where, heard in grouped.items()}


def joined(known: Sequence[LedgerEntry], heard: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """What is known of a key once more was heard: sealed effects first, then the oldest."""
    effects = {entry.effect_id: entry for entry in known}
    for entry in heard:
        before = effects.get(entry.effect_id)
        effects[entry.effect_id] = merged(before, entry) if before is not None else entry
    order = sorted(effects.values(), key=_first_kept)
    return order[:MOST_EFFECTS]


def change_of(known: Sequence[LedgerEntry], after: Sequence[LedgerEntry]) -> LedgerChange:
    """What is new of one key."""
    open_before = {each.effect_id for each in known if each.status is not EffectStatus.SEALED}
    sealed = [each for each in after if each.status is EffectStatus.SEALED]
    before, now = ({each.effect_id for each in some} - {""} for some in (known, after))
    return LedgerChange(
        changed=1,
        doubled=int(len(before) < _TWO <= len(now)),
        sealed_after_ms=[e.last_ms - e.first_ms for e in sealed if e.effect_id in open_before],
    )


def extent(entries: Iterable[LedgerEntry]) -> tuple[int, int]:
    """When a key was heard of first and last."""
    times = [(entry.first_ms, entry.last_ms) for entry in entries]
    return min(first for first, _ in times), max(last for _, last in times)


def encode_entries(entries: Sequence[LedgerEntry]) -> bytes:
    """A row; equal entries give equal bytes."""
    return msgspec.json.encode(list(entries))


def decode_entries(body: bytes) -> list[LedgerEntry]:
    """The entries of a row. Raises PermanentError when it cannot be read."""
    try:
        return msgspec.json.decode(body, type=list[LedgerEntry])
    except msgspec.MsgspecError as error:
        raise PermanentError(f"a stored receipt cannot be read: {error}") from None


def _first_kept(entry: LedgerEntry) -> tuple[bool, int, str]:
    return entry.status is not EffectStatus.SEALED, entry.first_ms, entry.effect_id
