"""Durations as Prometheus writes them, in integer milliseconds."""

import re

#: https://prometheus.io/docs/prometheus/latest/querying/basics/#float-literals-and-time-durations
_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
#: As in Prometheus: what fits in 63 bits of nanoseconds, 292 years.
_MAX_MS = (2**63 - 1) // 1_000_000
_UNITS_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1_000, 1)
_NAMES = ("y", "w", "d", "h", "m", "s", "ms")


def parse_duration(text: str) -> int:
    """`1h30m` -> 5400000. `0` is allowed without a unit. Raises ValueError."""
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"`{text}` is not a duration; write it like `90s`, `5m` or `1h30m`")
    total = 0
    for number, unit_ms in zip(match.groups(), _UNITS_MS, strict=True):
        # more digits than this are too many for any unit, and for Python's int()
        total += _MAX_MS + 1 if number and len(number) > 19 else int(number or 0) * unit_ms
    if total > _MAX_MS:
        raise ValueError(f"`{text[:40]}` is too long a duration; the longest is about 292 years")
    return total


def format_duration(milliseconds: int) -> str:
    """5400000 -> `1h30m`; the inverse of `parse_duration` for whole units."""
    if milliseconds == 0:
        return "0s"
    if milliseconds < 0:  # a clock was set back between the two ends
        return "-" + format_duration(-milliseconds)
    parts = []
    for name, unit in zip(_NAMES, _UNITS_MS, strict=True):
        # Years and weeks would make `1d` and `7d` read differently from what people write.
        if name in {"y", "w"}:
            continue
        count, milliseconds = divmod(milliseconds, unit)
        if count:
            parts.append(f"{count}{name}")
    return "".join(parts)
