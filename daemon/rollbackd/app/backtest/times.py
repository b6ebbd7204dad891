"""Times as people write them: RFC 3339 with a zone, or Unix seconds."""

import math
from datetime import UTC, datetime

_LAST = 253_402_300_800  # the year 10000


def parse_time(text: str) -> int:
    """`2026-11-22T20:05:00Z` or `1795377900` -> milliseconds since the epoch. Raises ValueError."""
    try:
        seconds = float(text)
    except ValueError:
        return _moment(text)
    if not math.isfinite(seconds) or not 0 <= seconds < _LAST:
        raise ValueError(f"`{text}` is not a time; Unix times are in seconds")
    return round(seconds * 1_000)


def format_time(time_ms: int) -> str:
    """The time in UTC to the second, `2026-11-22 20:05:00Z`."""
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"`{text}` is not a time; write it like `2026-11-22T20:05:00Z` or in Unix seconds"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"`{text}` has no time zone; for UTC write `{text}Z`")
    return round(moment.timestamp() * 1_000)
