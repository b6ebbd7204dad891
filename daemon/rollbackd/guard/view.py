"""The controls of a scope as they were last read: typed, frozen, and never wrong by an exception.

A value that cannot be used leaves the last good one in force, with the version that it had: the
version of the bad one is then never acknowledged, and no write under the old one is let through.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from rollbackd.guard.bucketing import canary_share

#: What `HMGET` asks of each control.
FIELDS: Final = ("effective", "version", "epoch")

#: Controls that a guard always reads, also before they were first written.
ALWAYS: Final = ("cache", "consumers", "degrade", "pins", "throttle", "writes")

_FLAG: Final = "flag:"
_BREAKER: Final = ("closed", "half_open", "open")
_CITE_ONLY: Final = 4
_RETRY_AFTER_SECONDS: Final = 30
_LONGEST_RETRY_SECONDS: Final = 86_400


class Token(NamedTuple):
    """Which write of a control is meant: grows with each change, also over a Redis failover.

    Compare tokens as they are, or as text: `str(token)` sorts the same way.
    """

    epoch: int = 0
    version: int = 0

    def __str__(self) -> str:
        return f"{self.epoch:016d}.{self.version:010d}"


@dataclass(frozen=True, slots=True)
class Writes:
    """The `writes` control: whether writers stand still, and for whom."""

    blocked: bool = False
    blocks_idempotent: bool = False
    retry_after_seconds: int = 1


@dataclass(frozen=True, slots=True)
class Consumers:
    """The `consumers` control: which Kafka consumer groups stand still."""

    paused: bool = False
    #: Empty for every group.
    groups: frozenset[str] = frozenset()

    def stop(self, group: str) -> bool:
        """Whether this group stands still."""
        return self.paused and (not self.groups or group in self.groups)


@dataclass(frozen=True, slots=True)
class Throttle:
    """The `throttle` control; None is no limit."""

    requests_per_second: float | None = None
    burst: float | None = None
    tenant_requests_per_second: float | None = None
    tenant_burst: float | None = None
    breaker: str = "closed"


@dataclass(frozen=True, slots=True)
class Cache:
    """The `cache` control: the generation that every key carries, and its namespace."""

    generation: int = 0
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """Every control of the scope at one read."""

    writes: Writes = Writes()
    consumers: Consumers = Consumers()
    throttle: Throttle = Throttle()
    cache: Cache = Cache()
    degrade_level: int = 0
    pins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: Flags, aliases and pointers as they stand, by control name.
    others: Mapping[str, Mapping[str, object]] = field(default_factory=lambda: MappingProxyType({}))
    #: The share of the users that each flag sends to the canary, by the flag's own name.
    shares: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    tokens: Mapping[str, Token] = field(default_factory=lambda: MappingProxyType({}))
    #: Names of controls whose present value cannot be used.
    unreadable: tuple[str, ...] = ()

    @property
    def writes_token(self) -> Token:
        """The token of the `writes` control."""
        return self.tokens.get("writes", Token())

    @property
    def consumers_token(self) -> Token:
        """The token of the `consumers` control."""
        return self.tokens.get("consumers", Token())


def read_view(last: View, replies: Mapping[str, Sequence[bytes | None]]) -> View:
    """The view after a read; `replies` holds what `HMGET key *FIELDS` said, by control name."""
    typed: dict[str, Any] = {}
    others: dict[str, Mapping[str, object]] = {}
    tokens: dict[str, Token] = {}
    unreadable: list[str] = []
    for name, (effective, version, epoch) in replies.items():
        try:
            value = _object(effective)
            token = Token(epoch=int(epoch or 0), version=int(version or 0))
            if name in _TYPED:
                attribute, convert = _TYPED[name]
                typed[attribute] = convert(value)
            else:
                others[name] = MappingProxyType(value)
        except (ValueError, TypeError, OverflowError, RecursionError):
            unreadable.append(name)
            token = last.tokens.get(name, Token())
            if name in _TYPED:
                attribute, _ = _TYPED[name]
                typed[attribute] = getattr(last, attribute)
            elif name in last.others:
                others[name] = last.others[name]
        tokens[name] = token
    return View(
        **typed,
        others=MappingProxyType(others),
        shares=MappingProxyType(_shares(others)),
        tokens=MappingProxyType(tokens),
        unreadable=tuple(sorted(unreadable)),
    )


def is_cite_only(level: int) -> bool:
    """Whether a degrade level asks for citations without an answer of the model's own."""
    return level >= _CITE_ONLY


def _shares(others: Mapping[str, Mapping[str, object]]) -> dict[str, float]:
    return {
        name.removeprefix(_FLAG): canary_share(value)
        for name, value in others.items()
        if name.startswith(_FLAG)
    }


def _object(text: bytes | None) -> dict[str, object]:
    value = json.loads(text) if text else {}
    if not isinstance(value, dict):
        raise TypeError("a control's value is a JSON object")
    return value


def _writes(value: dict[str, object]) -> Writes:
    if value.get("blocked", False) is False:
        return Writes()
    # a fence that is spelled wrong still is one, and of an unknown width it is the widest
    wait = value.get("retry_after_seconds")
    if not isinstance(wait, int | float) or not 0 <= wait <= _LONGEST_RETRY_SECONDS:
        wait = _RETRY_AFTER_SECONDS
    return Writes(
        blocked=True,
        blocks_idempotent=value.get("scope") != "non_idempotent",
        retry_after_seconds=max(1, math.ceil(wait)),
    )


def _consumers(value: dict[str, object]) -> Consumers:
    if value.get("paused", False) is False:
        return Consumers()
    # as with a fence: a pause that is spelled wrong still is one, and of all groups
    groups = value.get("groups", [])
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        groups = []
    return Consumers(paused=True, groups=frozenset(groups))


def _throttle(value: dict[str, object]) -> Throttle:
    breaker = value.get("breaker", "closed")
    if breaker not in _BREAKER:
        raise ValueError("unknown breaker state")
    return Throttle(
        requests_per_second=_number(value.get("requests_per_second")),
        burst=_number(value.get("burst")),
        tenant_requests_per_second=_number(value.get("tenant_requests_per_second")),
        tenant_burst=_number(value.get("tenant_burst")),
        breaker=str(breaker),
    )


def _cache(value: dict[str, object]) -> Cache:
    return Cache(
        generation=_is(value.get("generation", 0), int),
        namespace=_is(value.get("namespace", ""), str),
    )


def _degrade(value: dict[str, object]) -> int:
    level: int = _is(value.get("level", 0), int)
    if level not in range(_CITE_ONLY + 1):
        raise ValueError("a degrade level is 0 to 4")
    return level


def _pins(value: dict[str, object]) -> Mapping[str, str]:
    return MappingProxyType({name: _is(pin, str) for name, pin in value.items()})


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    if not 0 <= value < math.inf:
        raise ValueError("not a finite number of at least 0")
    return float(value)


def _is(value: object, kind: type[Any]) -> Any:
    # bool is an int in Python and none in JSON
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"not {kind.__name__}")
    return value


_TYPED: Final[dict[str, tuple[str, Any]]] = {
    "writes": ("writes", _writes),
    "consumers": ("consumers", _consumers),
    "throttle": ("throttle", _throttle),
    "cache": ("cache", _cache),
    "degrade": ("degrade_level", _degrade),
    "pins": ("pins", _pins),
}
