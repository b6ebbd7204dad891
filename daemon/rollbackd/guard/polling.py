"""Reading the controls, and saying which versions this process runs with.

One transaction does both, so that a process never knows more than Redis knows of it: its lease
runs from before the read, and Redis dates its acknowledgement at the read. A reader whose lease
has passed by Redis's clock therefore lets in only idempotent writes before it has read again.
"""

import json
import logging
import os
import secrets
import socket
from collections.abc import Callable
from typing import Any, Final

from rollbackd.guard.consuming import Turns
from rollbackd.guard.keys import ScopeKeys
from rollbackd.guard.scripts import ACKNOWLEDGE
from rollbackd.guard.view import ALWAYS, FIELDS, Token, read_view
from rollbackd.guard.work import Commands, Invoke, Work
from rollbackd.guard.writes import Gate

logger = logging.getLogger("rollbackd.guard")

#: A reader that was silent for so long is forgotten.
FORGET_SECONDS: Final = 600.0
#: A lease is waited for a tenth longer than it lasts, for clocks that run unevenly.
_CLOCK_DRIFT: Final = 1.1

#: While writes that began before a freeze are under way, whether they have ended is seen this soon.
_SETTLING_SECONDS: Final = 0.05


class Reader:
    """One process's place among the readers of a scope."""

    def __init__(
        self,
        keys: ScopeKeys,
        gate: Gate,
        turns: Turns,
        *,
        clock: Callable[[], float],
        poll_seconds: float,
        lease_seconds: float,
        raise_fence: Callable[[Token], Any] | None,
    ) -> None:
        if not 0 < poll_seconds < lease_seconds:
            raise ValueError(
                f"controls are read more often than once a lease: {poll_seconds:g} s is not between"
                f" 0 and {lease_seconds:g} s"
            )
        if lease_seconds * _CLOCK_DRIFT >= FORGET_SECONDS:
            raise ValueError(
                f"a lease of {lease_seconds:g} s outlives the memory of readers: it has to be under"
                f" {FORGET_SECONDS / _CLOCK_DRIFT:.0f} s"
            )
        self._pid = os.getpid()
        self.id = f"{socket.gethostname()}:{self._pid}:{secrets.token_hex(4)}"
        self._keys = keys
        self._gate = gate
        self._turns = turns
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._lease_ms = round(lease_seconds * 1000)
        self._raise_fence = raise_fence
        self._fenced: Token | None = None
        self._settled: Token | None = None
        self._sent = ""

    def poll(self) -> Work[float]:
        """Read once; the answer is how many seconds to wait for the next time, or a hint."""
        began = self._clock()
        names = sorted({*ALWAYS, *self._gate.view.tokens})
        replies = yield Commands([self._acknowledging(), *self._reading(names)])
        known = {member.decode() for member in replies[1]}
        found = dict(zip(names, replies[2:], strict=True))
        if unread := sorted(known - found.keys()):
            # it is judged by what both reads have shown, and its lease runs from the first one
            _, *more = yield Commands(self._reading(unread))
            found |= dict(zip(unread, more, strict=True))
        before = self._gate.view
        view = read_view(before, found)
        self._gate.advance(view, read_at=began)
        for name in sorted({*view.unreadable} - {*before.unreadable}):
            logger.error("a control cannot be read; its last value stays", extra={"control": name})
        yield from self._fence(view.writes_token)
        if self._acknowledgement() != self._sent:
            return 0.0
        settling = self._fenced == view.writes_token != self._settled
        settling = settling or self._turns.settled() is None
        return min(_SETTLING_SECONDS, self._poll_seconds) if settling else self._poll_seconds

    def leave(self) -> Work[None]:
        """Let no write in, and be no reader any more.

        With a write or a turn under way it stays one until its lease has passed: a freeze must not
        be confirmed before they have ended.
        """
        idle = self._gate.shut()
        if not idle or self._turns.settled() is None or os.getpid() != self._pid:
            return
        yield Commands([("HDEL", self._keys.readers, self.id), ("ZREM", self._keys.seen, self.id)])

    def _fence(self, token: Token) -> Work[None]:
        if token == self._fenced:
            return
        if self._raise_fence is not None:
            try:
                yield Invoke(self._raise_fence, (token,))
            except Exception:
                logger.exception("the fence of the target was not raised; it is tried again")
                return
        self._fenced = token

    def _acknowledging(self) -> tuple[str | int, ...]:
        self._sent = self._acknowledgement()
        return (
            *("EVALSHA", ACKNOWLEDGE.sha, 2, self._keys.readers, self._keys.seen),
            *(self.id, self._sent, round(FORGET_SECONDS * 1000)),
        )

    def _reading(self, names: list[str]) -> list[tuple[str | int, ...]]:
        return [
            ("SMEMBERS", self._keys.controls),
            *(("HMGET", self._keys.control(name), *FIELDS) for name in names),
        ]

    def _acknowledgement(self) -> str:
        settled = self._gate.settled()
        if settled is not None and settled == self._fenced:
            self._settled = settled
        running = {name: str(token) for name, token in sorted(self._gate.view.tokens.items())}
        running.pop("writes", None)
        running.pop("consumers", None)
        if self._settled is not None:
            running["writes"] = str(self._settled)
        if (stands_still := self._turns.settled()) is not None:
            running["consumers"] = str(stands_still)
        said = {"lease_ms": self._lease_ms, "controls": running, "groups": self._turns.groups}
        return json.dumps(said)
