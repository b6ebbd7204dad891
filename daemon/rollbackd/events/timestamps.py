"""Times on the wire -> milliseconds since the epoch."""

from datetime import UTC, datetime
from typing import Final

from rollbackd.model.events import Rejected

#: How far a sender's clock may be ahead of ours.
MAX_FUTURE_MS: Final = 5 * 60_000

_FAR: Final = 1e15
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(moment: datetime, *, field: str) -> int:
    """An RFC 3339 time, exactly. Raises Rejected when it has no time zone."""
    if moment.tzinfo is None:
        raise Rejected(
            f"`{field}`: `{moment.isoformat()}` has no time zone; for UTC write"
            f" `{moment.isoformat()}Z`"
        )
    try:
        since = moment - _EPOCH
    except OverflowError:
        raise Rejected(f"`{field}`: `{moment.isoformat()}` is out of range") from None
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000


def event_time(ts: datetime | float, *, now_ms: int) -> int:
    """The time of an event: RFC 3339 or Unix seconds. Raises Rejected when it cannot be meant."""
    if isinstance(ts, float):
        # A float far out of range has no whole number of milliseconds; any bound will do.
        time_ms = round(max(min(ts, _FAR), -_FAR) * 1_000)
    elif ts.tzinfo is not None:
        time_ms = round(ts.timestamp() * 1_000)
    else:
        time_ms = milliseconds(ts, field="ts")
    if time_ms > now_ms + MAX_FUTURE_MS:
        hint = "; are these milliseconds? `ts` is in seconds" if time_ms > now_ms * 100 else ""
        minutes = MAX_FUTURE_MS // 60_000
        raise Rejected(f"`ts`: `{_shown(ts)}` is more than {minutes} minutes in the future{hint}")
    if time_ms < 0:
        raise Rejected(f"`ts`: `{_shown(ts)}` is before 1970")
    return time_ms


def _shown(ts: datetime | float) -> str:
    return ts.isoformat() if isinstance(ts, datetime) else f"{ts:.15g}"
