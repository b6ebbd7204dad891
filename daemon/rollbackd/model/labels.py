"""Label sets of series, and the scope that they name."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

#: A label set: (name, value) pairs sorted by name, `__name__` included for a named series.
Labels = tuple[tuple[str, str], ...]

METRIC_NAME: Final = "__name__"

#: What may stand in a Redis key, a URL path or a file name without escaping.
_SAFE = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,128}\Z")


def labels_of(mapping: Mapping[str, str]) -> Labels:
    """The canonical form of a mapping; empty values mean "no such label", as in Prometheus."""
    return tuple(sorted((k, v) for k, v in mapping.items() if v))


def format_labels(labels: Iterable[tuple[str, str]]) -> str:
    """`name{a="b"}`, as Prometheus prints a series."""
    pairs = dict(labels)
    name = pairs.pop(METRIC_NAME, "")
    if not pairs and name:
        return name
    quoted = ", ".join(f'{k}="{_escape(v)}"' for k, v in sorted(pairs.items()))
    return f"{name}{{{quoted}}}"


class Scope(msgspec.Struct, frozen=True, order=True):
    """What is rolled back together: one service in one region. Prints as `service/region`.

    Both parts match `[A-Za-z0-9._-]{1,128}` and are not `.` or `..`, so that a scope can stand in
    keys and paths.
    """

    service: str
    region: str = "global"

    def __str__(self) -> str:
        return f"{self.service}/{self.region}"

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """`rag/eu-1` or `rag` (region `global`). Raises ValueError."""
        service, slash, region = text.partition("/")
        return cls.of(service, region if slash else "global")

    @classmethod
    def of(cls, service: str, region: str = "global") -> "Scope":
        """A checked scope. Raises ValueError with the offending part."""
        for part, value in (("service", service), ("region", region)):
            if not _SAFE.match(value):
                raise ValueError(
                    f"{part} `{value[:140]}` is not a scope name; use 1 to 128 of A-Z a-z 0-9 . _ -"
                )
        return cls(service, region)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
