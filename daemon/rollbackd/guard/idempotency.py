"""Names of effects, and what is known of one: the receipt.

The same effect has the same key wherever it is asked for, and an `effect_id` that follows from the
key, so that a system downstream which knows such ids can refuse the second one by itself.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rollbackd.guard.framing import digest


class Decision(StrEnum):
    """What was found when an effect was asked for (requirement 3.4)."""

    #: It was made now.
    NEW = "new"
    #: It had been made before; the receipt is the one of that time.
    DUPLICATE = "duplicate"
    #: The key stands for another request, or somebody else took the effect over meanwhile.
    CONFLICT = "conflict"


class Status(StrEnum):
    """Where an effect stands (requirement 3.5)."""

    #: Under way, and its lease has not passed.
    PENDING = "pending"
    #: Made, with the result that is kept.
    SEALED = "sealed"
    #: Not made, and known not to be.
    FAILED = "failed"
    #: It may have been made: to be reconciled with what is there downstream.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One effect with its fence, times in milliseconds since 1970 by the clock of Redis."""

    idempotency_key: str
    decision: Decision
    status: Status
    effect_id: str
    result: str = ""
    request_hash: str = ""
    #: Grows with each owner of the effect: a target that keeps the highest can refuse a late one.
    fencing_token: int = 0
    attempts: int = 0
    started_at_ms: int = 0
    sealed_at_ms: int = 0
    #: Whether the result was found downstream after a crash, not returned by the effect.
    reconciled: bool = False

    def as_json(self) -> dict[str, Any]:
        """The fields as a JSON object, for a topic or a log."""
        return asdict(self)


def idempotency_key(
    *,
    source_type: str,
    source_id: str,
    action: str,
    revision: str = "",
    tenant: str = "",
    index_hash: str = "",
) -> str:
    """64 hex digits that name one effect of one thing (requirement K12).

    `index_hash` only for an effect that depends on the index: with it a rollback of the index
    makes a new effect of the same one. Leave out what changes when the same thing is sent again:
    partitions, offsets, times of arrival, random numbers.
    """
    return digest("effect", tenant, source_type, source_id, revision, action, index_hash)


def effect_id_of(key: str) -> str:
    """The id that follows from an idempotency key."""
    return digest("effect_id", key)[:32]


def read_receipt(
    key: str, decision: Decision, fields: Mapping[bytes, bytes], *, reconciled: bool = False
) -> Receipt:
    """The receipt in the fields of an effect's HASH."""

    def number(name: bytes) -> int:
        return int(fields.get(name, b"0"))

    def text(name: bytes) -> str:
        return fields.get(name, b"").decode()

    return Receipt(
        idempotency_key=key,
        decision=decision,
        status=Status(text(b"status") or Status.FAILED),
        effect_id=text(b"effect_id") or effect_id_of(key),
        result=text(b"result"),
        request_hash=text(b"request"),
        fencing_token=number(b"token"),
        attempts=number(b"attempts"),
        started_at_ms=number(b"started_at_ms"),
        sealed_at_ms=number(b"sealed_at_ms"),
        reconciled=reconciled,
    )
