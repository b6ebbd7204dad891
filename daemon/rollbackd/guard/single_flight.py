"""A cache entry that many ask for at once is loaded by one of them (requirement P3).

Who loads holds a lease with a token of its own and lets go of nothing but that: one that was
stopped past its lease neither ends the load of its successor nor overwrites what that one kept.
"""

import contextlib
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from rollbackd.guard.errors import GuardUnavailableError
from rollbackd.guard.keys import ScopeKeys
from rollbackd.guard.scripts import LOOKUP, STORE, Call
from rollbackd.guard.work import Invoke, Wait, Work

#: Entries that were loaded together do not all end together.
_TTL_SPREAD: Final = 0.15
_FIRST_WAIT_SECONDS: Final = 0.01
_LONGEST_WAIT_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """How long things may take, in seconds."""

    ttl_seconds: float = 60.0
    #: A loader that takes longer is thought dead.
    lease_seconds: float = 3.0
    #: Who has waited so long for another's load loads for itself, and keeps nothing.
    wait_seconds: float = 1.5


def get_or_load(
    keys: ScopeKeys, key: str, load: Callable[[], Any], flight: Flight, clock: Callable[[], float]
) -> Work[bytes]:
    """See `Guard.get_or_load`; without Redis it loads."""
    token = secrets.token_hex(16)
    deadline = clock() + flight.wait_seconds
    pause = _FIRST_WAIT_SECONDS
    while True:
        try:
            verdict: _Verdict = yield Call(
                LOOKUP,
                (keys.entry(key), keys.load(key)),
                (token, max(1, round(flight.lease_seconds * 1000))),
                _read,
            )
        except GuardUnavailableError:
            return _checked((yield Invoke(load)))
        if verdict.hit is not None:
            return verdict.hit
        if verdict.mine:
            return (yield from _load(keys, key, load, flight, token))
        left = deadline - clock()
        if left <= 0:
            return _checked((yield Invoke(load)))
        yield Wait(min(pause, left))
        pause = min(2 * pause, _LONGEST_WAIT_SECONDS)


@dataclass(frozen=True, slots=True)
class _Verdict:
    hit: bytes | None = None
    mine: bool = False


def _load(
    keys: ScopeKeys, key: str, load: Callable[[], Any], flight: Flight, token: str
) -> Work[bytes]:
    ended = (keys.load(key), keys.entry(key))
    try:
        value = _checked((yield Invoke(load)))
    except BaseException:
        # without Redis the lease passes by itself
        with contextlib.suppress(GuardUnavailableError):
            yield Call(STORE, ended, (token, 0, b""), int)
        raise
    # not for secrets: when an entry ends
    spread = 1 + random.uniform(-_TTL_SPREAD, _TTL_SPREAD)  # noqa: S311
    ttl_ms = max(1, round(flight.ttl_seconds * spread * 1000))
    # without Redis the value is good, only nobody else gets it
    with contextlib.suppress(GuardUnavailableError):
        yield Call(STORE, ended, (token, ttl_ms, value), int)
    return value


def _checked(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"what loads a cache entry returns bytes, not {type(value).__name__}")
    return value


def _read(reply: Any) -> _Verdict:
    if reply[0] == b"hit":
        return _Verdict(hit=reply[1])
    return _Verdict(mine=reply[0] == b"load")
