"""Model values to JSON and back, and the limits that both stores share."""

import hashlib
import math
import re
from typing import Any, Final, TypeVar

import msgspec

from rollbackd.errors import PermanentError
from rollbackd.model.facts import ChangeEvent
from rollbackd.model.incidents import Incident
from rollbackd.model.triggers import RuleInstance
from rollbackd.ports import DeadLetter, StaleIncidentError

T = TypeVar("T")

#: The first bytes of a double whose exponent is all ones; other bytes that look so do no harm.
_NOT_FINITE: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")

#: How long a rule instance is kept that nobody sees any more, and how many are kept.
RULE_STATE_MEMORY_MS: Final = 86_400_000
RULE_STATES: Final = 10_000

#: How many changes are kept, the newest of its kind each.
CHANGES: Final = 10_000

#: How long a trip is kept, after which it has nothing to do with another one any more.
TRIP_MEMORY_MS: Final = 86_400_000

#: How long a handled alert is kept, so that its repetition is known as such.
INBOX_MEMORY_MS: Final = 7 * 86_400_000

#: How many dead letters are kept, and how much of each.
DEAD_LETTERS: Final = 1_000
DEAD_LETTER_BYTES: Final = 65_536


def rule_state_key(instance: RuleInstance) -> str:
    """The same for the same instance of the same rule, in 32 characters."""
    return hashlib.sha256(msgspec.json.encode(instance.key)).hexdigest()[:32]


def change_key(change: ChangeEvent) -> str:
    """The same for every change of this kind in this scope."""
    return f"{change.scope} {change.kind}"


def encode(value: object) -> bytes:
    """The value as JSON; equal values give equal bytes."""
    # JSON has no NaN and no infinities, and msgspec writes null for them. MessagePack has them, so
    # it shows in a glance, also for the thousands of samples of an incident, whether there are any.
    if _NOT_FINITE.search(msgspec.msgpack.encode(value)):
        return msgspec.json.encode(_named_floats(msgspec.to_builtins(value)))
    return msgspec.json.encode(value)


def decode(body: bytes, kind: type[T]) -> T:
    """The value that `encode` wrote. Raises PermanentError when it cannot be read."""
    try:
        # not strict: a float may be spelled "nan" or "inf"
        return msgspec.json.decode(body, type=kind, strict=False)
    except msgspec.MsgspecError as error:
        raise PermanentError(f"a stored {kind.__name__} cannot be read: {error}") from None


def shortened(letter: DeadLetter) -> DeadLetter:
    """The letter with no more of its body than is kept."""
    if len(letter.body) <= DEAD_LETTER_BYTES:
        return letter
    return msgspec.structs.replace(letter, body=letter.body[:DEAD_LETTER_BYTES])


def stale(incident: Incident, found: int | None) -> StaleIncidentError:
    """The refusal of an incident that was not made from the stored one."""
    stored = "it is not in the store" if found is None else f"found version {found}"
    return StaleIncidentError(
        f"incident `{incident.id}`: version {incident.version} replaces version"
        f" {incident.version - 1}, {stored}"
    )


def _named_floats(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _named_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_named_floats(item) for item in value]
    return value
