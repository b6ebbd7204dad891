"""How the post-mortem words times, spans, values and levers, the same in both forms."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from rollbackd.documents.durations import format_duration
from rollbackd.documents.numbers import told_apart
from rollbackd.model.levers import Target

ABSENT: Final = "-"
_MINUTE_MS: Final = 60_000

#: What an act of a lever did, for somebody who does not know the lever.
_DONE: Final = {
    "alias_revert": "pointed the alias{name} back",
    "cache_rotate": "began a new cache generation",
    "degrade": "switched optional work off",
    "flag_off": "switched the flag{name} off",
    "pointer_flip": "pointed{name} back",
    "repin": "brought the known good pins back",
    "throttle": "limited the load",
    "write_block": "froze writes",
}
#: The same when the act is given back.
_GIVEN_BACK: Final = {
    "degrade": "optional work is on again",
    "throttle": "the limit is off",
    "write_block": "writes are allowed again",
}


def deed(target: Target) -> str:
    """What moving a target meant, e.g. `switched the flag canary off`."""
    name = f" {target.name}" if target.name else ""
    return _DONE.get(target.lever, "moved {target}").format(name=name, target=target)


def undeed(target: Target) -> str:
    """What giving a measure back meant."""
    return _GIVEN_BACK.get(target.lever, f"{target} is given back")


def date(at_ms: int) -> str:
    """The day in UTC."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d")


def time(at_ms: int | None) -> str:
    """The time of day in UTC to the millisecond, or a dash."""
    if at_ms is None:
        return ABSENT
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%H:%M:%S.%f")[:-3]


def span(start_ms: int | None, end_ms: int | None) -> str:
    """How long it took, e.g. `210ms`, `25.3s`, `2m1s`."""
    if start_ms is None or end_ms is None:
        return ABSENT
    length = end_ms - start_ms
    if 1_000 <= abs(length) < _MINUTE_MS:
        return f"{length / 1_000:.3g}s"
    return format_duration(round(length, -3) if abs(length) >= _MINUTE_MS else length)


def number(value: float | None, *, beside: float | None = None) -> str:
    """Four digits, or as many as tell it from the bound that stands beside it; or a dash."""
    if value is None:
        return ABSENT
    return f"{value:.4g}" if beside is None else told_apart(value, beside)


def value_text(value: object) -> str:
    """A value of a control or of a record: JSON, but a text as it is."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def listed(items: list[str]) -> str:
    """`a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
