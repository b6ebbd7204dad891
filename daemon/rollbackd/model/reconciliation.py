"""Receipts as they are kept, and what comes of comparing them with what is really there."""

from enum import StrEnum
from typing import Final

import msgspec

from rollbackd.model.facts import EffectReceipt, EffectStatus
from rollbackd.model.labels import Scope

#: So many open items are written down with their keys; all of them are counted.
MOST_ITEMS: Final = 100

#: On a tie the more cautious word stands.
_CAUTION: Final = {
    EffectStatus.FAILED: 0,
    EffectStatus.PENDING: 1,
    EffectStatus.UNKNOWN: 2,
    EffectStatus.SEALED: 3,
}


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One effect as the ledger knows it; a second effect id of the key is a second entry."""

    scope: Scope
    key: str
    #: Empty while nobody has said it.
    effect_id: str = ""
    status: EffectStatus
    action: str = ""
    incident_id: str = ""
    #: When it was heard of, by the times in its receipts.
    first_ms: int
    last_ms: int

    @classmethod
    def of(cls, receipt: EffectReceipt) -> "LedgerEntry":
        """What one receipt says."""
        return cls(
            scope=receipt.scope,
            key=receipt.key,
            effect_id=receipt.effect_id,
            status=receipt.status,
            action=receipt.action,
            incident_id=receipt.incident_id,
            first_ms=receipt.time_ms,
            last_ms=receipt.time_ms,
        )

    @property
    def identity(self) -> tuple[Scope, str, str]:
        """What it is told from others by."""
        return self.scope, self.key, self.effect_id

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Which of two words on one effect stands: sealed is final, else the newer one."""
        return self.status is EffectStatus.SEALED, self.last_ms, _CAUTION[self.status]


def merged(one: LedgerEntry, other: LedgerEntry) -> LedgerEntry:
    """Both as one; in any order and any number of times the result is the same.

    Only words on the same effect (`identity`) are merged.
    """
    stands = max(one, other, key=lambda entry: (entry.rank, entry.action, entry.incident_id))
    return msgspec.structs.replace(
        stands,
        first_ms=min(one.first_ms, other.first_ms),
        last_ms=max(one.last_ms, other.last_ms),
    )


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long a ledger keeps what it heard of last, and how many keys of one scope at most."""

    age_ms: int
    keys: int


class LedgerChange(msgspec.Struct, frozen=True, kw_only=True):
    """What became of receipts that were put: keys that changed, and keys dropped for them."""

    changed: int = 0
    #: Older than the retention.
    expired: int = 0
    #: Beyond the most that one scope may have, the oldest first.
    surplus: int = 0
    #: Keys of which a second effect was heard now.
    doubled: int = 0
    #: Of each effect that is sealed now: how long after it was first heard of.
    sealed_after_ms: list[int] = []

    def plus(self, other: "LedgerChange") -> "LedgerChange":
        """Both together."""
        return LedgerChange(
            changed=self.changed + other.changed,
            expired=self.expired + other.expired,
            surplus=self.surplus + other.surplus,
            doubled=self.doubled + other.doubled,
            sealed_after_ms=self.sealed_after_ms + other.sealed_after_ms,
        )


class LedgerPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger holds of a scope and a time."""

    entries: list[LedgerEntry]
    #: Of this time and before, receipts of the scope were dropped to keep the ledger bounded.
    dropped_until_ms: int | None = None


class DownstreamEffect(msgspec.Struct, frozen=True, kw_only=True):
    """One effect that a system downstream really holds, under the key that it was made with."""

    key: str
    effect_id: str
    time_ms: int | None = None


class DownstreamPage(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing says, and until when it is whole; None for now."""

    effects: list[DownstreamEffect]
    until_ms: int | None = None


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A time, both ends included, and until when what was found in it is final.

    What was touched after `settled_ms` may still change: a receipt on its way, a listing that lags.
    """

    from_ms: int
    to_ms: int
    settled_ms: int

    def has(self, time_ms: int) -> bool:
        """Whether a time lies in it."""
        return self.from_ms <= time_ms <= self.to_ms

    def meets(self, first_ms: int, last_ms: int) -> bool:
        """Whether a stretch of time touches it, also one that began before and ended after."""
        return first_ms <= self.to_ms and last_ms >= self.from_ms


class EffectVerdict(StrEnum):
    """What the ledger and the system downstream say of one key together (requirements 3.5)."""

    #: They agree, or what is there downstream settles what the ledger left open.
    OK = "ok"
    #: The ledger has it as made, and it is not there.
    MISSING = "missing"
    #: It is there, and no receipt says that it was made.
    EXTRA = "extra"
    #: One key with two effects, or with another effect than the receipt says.
    CONFLICT = "conflict"


class Resolution(StrEnum):
    """What is to be done about a key, or what settled it."""

    #: Nothing: they agree.
    NONE = "none"
    #: In doubt, and it is there: it was made (K14).
    WAS_MADE = "was_made"
    #: In doubt, and it is not there: it was not made and may be made again (K14).
    NOT_MADE = "not_made"
    #: Too fresh to be judged.
    WAIT = "wait"
    #: A person has to say: make it again, or correct the ledger.
    MAKE_OR_CORRECT = "make_or_correct"
    #: A person has to say: undo it, or record it.
    UNDO_OR_RECORD = "undo_or_record"
    #: A person has to say which of the effects stands, and undo the others.
    KEEP_ONE = "keep_one"
    #: A person has looked at it and takes it as it is.
    ACCEPTED = "accepted"


class LedgerState(StrEnum):
    """What the receipts of one key say."""

    ABSENT = "absent"
    PENDING = "pending"
    UNKNOWN = "unknown"
    FAILED = "failed"
    SEALED = "sealed"
    #: Sealed with more than one effect id.
    SEALED_TWICE = "sealed_twice"


class DownstreamState(StrEnum):
    """What is there downstream under one key."""

    ABSENT = "absent"
    PRESENT = "present"
    #: More than one effect.
    DOUBLE = "double"


class ReconciledItem(msgspec.Struct, frozen=True, kw_only=True):
    """One key, compared."""

    key: str
    ledger_state: LedgerState
    downstream_state: DownstreamState
    verdict: EffectVerdict
    resolution: Resolution
    ledger_effects: list[str] = []
    downstream_effects: list[str] = []

    @property
    def is_open(self) -> bool:
        """Whether somebody has to do something, or has to wait."""
        return self.verdict is not EffectVerdict.OK and self.resolution is not Resolution.ACCEPTED

    @property
    def finding(self) -> "ReconciledItem":
        """What was found, whatever is to be done about it."""
        return msgspec.structs.replace(self, resolution=Resolution.NONE)


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of the ledger with what is there downstream."""

    at_ms: int
    from_ms: int
    to_ms: int
    #: The listing that was asked; empty where none is configured for the service.
    listing: str = ""
    #: Why nothing can be said; the counts then mean nothing.
    unavailable: str = ""
    #: Keys by verdict.
    counts: dict[EffectVerdict, int] = {}
    #: Keys that were in doubt and were settled by what is there, by resolution.
    settled: dict[Resolution, int] = {}
    #: Keys that a person has accepted as they are.
    accepted: int = 0
    #: Open items, the first so many by key.
    items: list[ReconciledItem] = []
    #: Of all open items, not only of those above.
    open_items: int = 0
    #: Open items that are only too fresh to be judged.
    waiting: int = 0

    @property
    def is_known(self) -> bool:
        """Whether it was possible to compare at all."""
        return bool(self.listing) and not self.unavailable

    @property
    def in_words(self) -> str:
        """One line for people; it names the first keys."""
        if not self.listing and not self.unavailable:
            return "no listing is configured for this service"
        if self.unavailable:
            return f"not known: {self.unavailable}"
        parts = [f"{self.counts.get(verdict, 0)} {verdict}" for verdict in EffectVerdict]
        parts += [f"{self.accepted} accepted"] if self.accepted else []
        line = ", ".join(parts)
        if not self.open_items:
            return line
        named = [f"{item.key} ({item.verdict})" for item in self.items[:_NAMED]]
        left = self.open_items - len(named)
        named += [f"{left} more"] if left > 0 else []
        return f"{line}; open: {', '.join(named)}"


#: So many keys are named in a line.
_NAMED: Final = 5
