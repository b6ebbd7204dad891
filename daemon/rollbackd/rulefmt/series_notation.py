"""The notation of promtool's unit tests: `metric{a="b"}` and `1+2x3 _ stale`.

https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
"""

import math
import re
from enum import Enum
from typing import Final

from rollbackd.model.labels import METRIC_NAME, Labels, labels_of

#: One series may not expand to more values than this.
MAX_VALUES: Final = 1_000_000


class Gap(Enum):
    """A place in a series without a value."""

    #: No sample.
    MISSING = "_"
    #: A stale marker.
    STALE = "stale"


SeriesValue = float | Gap

_UNSIGNED: Final = r"(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|[iI]nf|[nN]a[nN]|INF|NAN)"
_NUMBER: Final = rf"[-+]?{_UNSIGNED}"
_ITEM: Final = re.compile(rf"({_NUMBER})(?:([-+])({_UNSIGNED}))?(?:x(\d+))?")
_BLANK: Final = re.compile(r"_(?:x(\d+))?")
_NAME: Final = re.compile(r"\s*([A-Za-z_:][A-Za-z0-9_:]*)?\s*(\{)?", re.ASCII)
_PAIR: Final = re.compile(
    r"""\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)\s*(,|\})""",
    re.ASCII,
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}


def parse_values(text: str) -> list[SeriesValue]:
    """`1+2x3` -> 1, 3, 5, 7. Raises ValueError with the item that is wrong."""
    found: list[SeriesValue] = []
    for item in text.split():
        found += _expanded(item)
        if len(found) > MAX_VALUES:
            raise ValueError(f"the series has more than {MAX_VALUES} values")
    return found


def parse_metric(text: str) -> Labels:
    """`up{job="a"}` -> labels; `{}` and an empty text are no labels. Raises ValueError."""
    start = _NAME.match(text)
    assert start is not None
    labels = {METRIC_NAME: start.group(1) or ""}
    rest = text[start.end() :]
    if not start.group(2):
        if rest.strip():
            raise ValueError(f'`{text}` is not a series; write it like `up{{job="a"}}`')
        return labels_of(labels)
    while not re.fullmatch(r"\s*\}\s*|\s*", rest) or "}" not in rest:
        pair = _PAIR.match(rest)
        if pair is None:
            raise ValueError(f'`{text}` is not a series; write it like `up{{job="a"}}`')
        if pair.group(1) in labels and pair.group(1) != METRIC_NAME:
            raise ValueError(f"label `{pair.group(1)}` stands twice in `{text}`")
        labels[pair.group(1)] = _unquoted(pair.group(2))
        rest = rest[pair.end() :]
        if pair.group(3) == "}":
            if rest.strip():
                raise ValueError(f"`{rest.strip()}` is not expected behind the labels")
            break
    return labels_of(labels)


def parse_number(text: str) -> float:
    """A value as promtool reads it. Raises ValueError."""
    if not re.fullmatch(rf"{_NUMBER}|[-+]?\.(?:inf|nan)", text):
        raise ValueError(f"`{text}` is not a number")
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _expanded(item: str) -> list[SeriesValue]:
    if item == "stale":
        return [Gap.STALE]
    if blank := _BLANK.fullmatch(item):
        return [Gap.MISSING] * _count(blank.group(1) or "1")
    match = _ITEM.fullmatch(item)
    if match is None:
        raise ValueError(
            f"`{item}` is not a value; write it like `5`, `1+2x3`, `5x3`, `_` or `stale`"
        )
    first, sign, step, times = match.groups()
    if sign and times is None:
        raise ValueError(f"`{item}` has a step and no count; write it like `1+2x3`")
    value = parse_number(first)
    if times is None:
        return [value]
    increment = parse_number(step) * (-1 if sign == "-" else 1) if sign else 0.0
    values: list[SeriesValue] = []
    # Added up step by step, as promtool does, so that rounding agrees.
    for _ in range(_count(times) + 1):
        values.append(value)
        value = value + increment if increment or math.isnan(increment) else value
    return values


def _count(text: str) -> int:
    if len(text) > 7 or int(text) > MAX_VALUES:
        raise ValueError(f"`x{text}` is over {MAX_VALUES}")
    return int(text)


def _unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group(1)), text[1:-1])
