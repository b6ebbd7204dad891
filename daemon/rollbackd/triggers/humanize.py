"""Numbers as Prometheus's template functions write them; template/template.go."""

import math
from typing import Final

_LARGE: Final = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_LARGE_1024: Final = ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")
#: Go's shortest `%g` turns to an exponent here.
_PLAIN_BELOW: Final = 6

_SMALL: Final = ("m", "u", "n", "p", "f", "a", "z", "y")


def plain(value: float) -> str:
    """A number as Go's `%v` writes it: the shortest digits, `1e+06` from a million on."""
    if not math.isfinite(value):
        return _not_finite(value)
    scientific = f"{value:e}" if value == 0 else _shortest_scientific(value)
    exponent = int(scientific.partition("e")[2])
    if -4 <= exponent < _PLAIN_BELOW:
        text = repr(value).removesuffix(".0")
        return text if "e" not in text else f"{value:f}".rstrip("0")
    return scientific


def _shortest_scientific(value: float) -> str:
    """The fewest digits that read back as the same number, `d.ddde+XX`."""
    digits = repr(value).partition("e")[0].replace(".", "").replace("-", "").strip("0")
    return f"{value:.{max(len(digits) - 1, 0)}e}"


def humanize(value: float) -> str:
    """`1234567` -> `1.235M`."""
    if value == 0 or not math.isfinite(value):
        return significant(value)
    return _scaled(value)


def humanize1024(value: float) -> str:
    """`1048576` -> `1Mi`."""
    if abs(value) <= 1 or not math.isfinite(value):
        return significant(value)
    prefix = ""
    for larger in _LARGE_1024:
        if abs(value) < 1024:
            break
        prefix = larger
        value /= 1024
    return significant(value) + prefix


def humanize_percentage(value: float) -> str:
    """`0.153` -> `15.3%`."""
    return significant(value * 100) + "%"


def humanize_duration(value: float) -> str:
    """`3661` -> `1h 1m 1s`; seconds in."""
    if not math.isfinite(value):
        return significant(value)
    if abs(value) < 1:
        return (significant(value) if value == 0 else _scaled(value)) + "s"
    sign = "-" if value < 0 else ""
    value = abs(value)
    minutes, seconds = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{significant(value)}s"


def significant(value: float) -> str:
    """Go's `%.4g`."""
    return f"{value:.4g}" if math.isfinite(value) else _not_finite(value)


def _scaled(value: float) -> str:
    prefix = ""
    if abs(value) >= 1:
        for larger in _LARGE:
            if abs(value) < 1000:
                break
            prefix = larger
            value /= 1000
    else:
        for smaller in _SMALL:
            if abs(value) >= 1:
                break
            prefix = smaller
            value *= 1000
    return significant(value) + prefix


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"
