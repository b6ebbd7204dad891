"""Names of OpenTelemetry metrics and attributes as Prometheus writes them.

https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/; units as in
https://github.com/prometheus/otlptranslator, which Prometheus and the Collector use.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from enum import Enum
from typing import Final

_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_LABELS: Final = re.compile(r"[^a-zA-Z0-9]+")
_IN_BRACES: Final = re.compile(r"\{[^}]*\}")

_UNITS: Final = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes",
    "MiBy": "mebibytes", "GiBy": "gibibytes", "TiBy": "tibibytes", "KBy": "kilobytes",
    "kBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes", "m": "meters",
    "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius",
    "Hz": "hertz", "%": "percent", "1": "",
}  # fmt: skip
_PER: Final = {
    "s": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day", "w": "week",
    "mo": "month", "y": "year",
}  # fmt: skip


class Kind(Enum):
    """What a metric becomes, as far as its name goes."""

    GAUGE = "gauge"
    COUNTER = "counter"
    #: Sums that may fall, histograms, summaries.
    OTHER = "other"


def metric_of(name: str, unit: str, kind: Kind) -> str:
    """`http.server.duration`, `s`, histogram -> `http_server_duration_seconds`."""
    words = [word for word in _NOT_IN_NAMES.split(name) if word]
    for suffix in _unit_words(unit.strip()):
        # what the name says already is not said twice
        if suffix and not set(suffix.split("_")) <= set(words):
            words += suffix.split("_")
    if unit.strip() == "1" and kind is Kind.GAUGE:
        words = [*_without(words, "ratio"), "ratio"]
    if kind is Kind.COUNTER:
        words = [*_without(words, "total"), "total"]
    joined = "_".join(words)
    return f"_{joined}" if joined[:1].isdigit() else joined


def label_of(attribute: str) -> str:
    """`http.route` -> `http_route`."""
    name = _NOT_IN_LABELS.sub("_", attribute)
    return f"key_{name}" if name[:1].isdigit() else name


def labels_from(attributes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Attributes as labels; those that become one label are joined by `;` in their order."""
    found: dict[str, str] = {}
    for attribute, value in sorted(attributes):
        name = label_of(attribute)
        found[name] = f"{found[name]};{value}" if name in found else value
    return found


def bound_text(bound: float) -> str:
    """A bucket's bound or a quantile as Go's `strconv.FormatFloat(x, 'f', -1, 64)` writes it."""
    if bound in {float("inf"), float("-inf")}:
        return "+Inf" if bound > 0 else "-Inf"
    text = repr(bound)
    if "e" in text:
        text = f"{Decimal(text):f}"
    return text.removesuffix(".0")


def _unit_words(unit: str) -> tuple[str, str]:
    main, _, per = _IN_BRACES.sub("", unit).partition("/")
    per = _PER.get(per, _plain(per))
    return _UNITS.get(main, _plain(main)), f"per_{per}" if per else ""


def _plain(unit: str) -> str:
    return _NOT_IN_LABELS.sub("_", unit).strip("_")


def _without(words: list[str], word: str) -> list[str]:
    return [each for each in words if each != word]
