"""What a mapping file says, as frozen values."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from rollbackd.events.mapping.paths import Path

Scalar = str | int | float | bool

#: Distinct values of one label before the next ones become `other`.
DEFAULT_LIMIT: Final = 100
#: The key of `map` for every value that has none of its own.
ANYTHING: Final = "*"
#: What stands for the values of a label that are not kept.
OTHER: Final = "other"


class Way(StrEnum):
    """What a source makes of its paths."""

    #: The first that is there.
    FIRST = "first"
    #: The length of the list that is there.
    COUNT = "count"
    #: Of those that are there.
    SUM = "sum"


class TimeFormat(StrEnum):
    """How a time is written; `AUTO` is RFC 3339 for text that is no number, else Unix seconds."""

    AUTO = "auto"
    RFC3339 = "rfc3339"
    UNIX = "unix"
    UNIX_MS = "unix_ms"
    UNIX_US = "unix_us"
    UNIX_NS = "unix_ns"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where one value of an event comes from, and what is made of it on the way."""

    #: The place in the native event, for messages: `values.delta_s`.
    place: str
    paths: tuple[Path, ...] = ()
    constant: Scalar | None = None
    way: Way = Way.FIRST
    #: Multiply by the one, divide by the other.
    factor: tuple[float, float] = (1.0, 1.0)
    #: Text of the value -> what it means; any other is refused.
    words: Mapping[str, Scalar] | None = None
    #: Where no path has anything.
    default: Scalar | None = None
    required: bool = False
    hashed: bool = False
    #: Of labels: how many distinct values, and which.
    limit: int = DEFAULT_LIMIT
    allow: frozenset[str] | None = None
    #: Of the time.
    format: TimeFormat = TimeFormat.AUTO

    @property
    def shown(self) -> str:
        """The paths, for messages."""
        return " or ".join(f"`{path.text}`" for path in self.paths)


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `when`: whether a path is there, or is one of some values."""

    path: Path
    #: Only when `among` is empty.
    exists: bool = True
    among: tuple[Scalar, ...] = ()

    def excludes(self, other: "Condition") -> bool:
        """Whether no event can meet both."""
        if self.path != other.path:
            return False
        if self.among and other.among:
            mine = {(type(value) is bool, value) for value in self.among}
            return mine.isdisjoint((type(value) is bool, value) for value in other.among)
        return (self.exists or bool(self.among)) != (other.exists or bool(other.among))


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `events`: an event of theirs that meets the conditions becomes one of ours."""

    event: str
    when: tuple[Condition, ...] = ()
    #: A list, each of whose items becomes an event.
    each: Path | None = None
    time: Source | None = None
    service: Source
    region: Source | None = None
    arm: Source | None = None
    code: Source | None = None
    values: Mapping[str, Source] = {}
    labels: Mapping[str, Source] = {}
    pins: Mapping[str, Source] = {}
    fact: Mapping[str, Source] = {}

    def excludes(self, other: "Description") -> bool:
        """Whether no series can come from both for one event."""
        if any(mine.excludes(its) for mine in self.when for its in other.when):
            return True
        mine, its = self.constants(), other.constants()
        return any(mine[key] != its[key] for key in mine.keys() & its.keys())

    def constants(self) -> dict[str, Scalar]:
        """Service, region, arm and labels that are the same for every event."""
        named = {"service": self.service, "region": self.region, "arm": self.arm, **self.labels}
        return {
            key: source.constant
            for key, source in named.items()
            if source is not None and source.constant is not None
        }
