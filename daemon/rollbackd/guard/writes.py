"""Fenced writes: which are under way, under which token, and whether they may go on.

A process that was stopped after it had looked, and resumed after writers were frozen, still
believes that it may write. Two things stop it. `Write.check` compares with a lease that ends by
itself, on a clock that goes on while the process stands still. And where the effect lands, the
token is compared with what stands there: only that leaves no gap
(https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html).
"""

import logging
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rollbackd.guard.errors import Refusal, WriteRefusedError
from rollbackd.guard.view import Token, View

logger = logging.getLogger("rollbackd.guard")


class Write:
    """One write that was let through; use it as a context manager around the effect."""

    def __init__(self, gate: "Gate", token: Token, *, idempotent: bool) -> None:
        self.token = token
        self.idempotent = idempotent
        self._gate = gate

    def check(self) -> None:
        """Call it right before the effect. Raises WriteRefusedError when it may not be made."""
        self._gate.check(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._gate.leave(self)


class Gate:
    """Lets writes in by the view, and knows which of them have not come out yet.

    The lock makes "look and go in" one act against `advance`: a write is counted under the token
    by which it was judged, so that a freeze is acknowledged only when the last write that had
    begun before it has ended.
    """

    def __init__(self, *, lease_seconds: float, clock: Callable[[], float]) -> None:
        self.view = View()
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._read_at: float | None = None
        self._lock = threading.Lock()
        self._under_way: Counter[Token] = Counter()
        self._shut = False
        _GATES.add(self)

    def advance(self, view: View, *, read_at: float) -> None:
        """A read that was begun at `read_at` has shown this; the lease runs from there."""
        with self._lock:
            self.view = view
            self._read_at = read_at
            self._shut = False

    def shut(self) -> bool:
        """Let nothing in before the controls are read again; whether no write is under way."""
        with self._lock:
            self._shut = True
            return not self._under_way

    def forked(self) -> None:
        """Another process is the reader; this one, a copy of it, reads nothing."""
        self._lock = threading.Lock()  # whoever held it does not exist here
        self._shut = True

    @property
    def ever_read(self) -> bool:
        """Whether the controls were ever read."""
        return self._read_at is not None

    def age_seconds(self) -> float | None:
        """How long ago the controls were last read; None before the first time."""
        return None if self._read_at is None else self._clock() - self._read_at

    def stale(self) -> bool:
        """Whether the lease has ended: the controls may have changed."""
        age = self.age_seconds()
        return self._shut or age is None or not 0 <= age < self._lease_seconds

    def enter(self, *, idempotent: bool) -> Write:
        """Let a write in. Raises WriteRefusedError."""
        with self._lock:
            self._judge(idempotent=idempotent)
            token = self.view.writes_token
            self._under_way[token] += 1
        return Write(self, token, idempotent=idempotent)

    def check(self, write: Write) -> None:
        """Whether a write that was let in may still be made. Raises WriteRefusedError."""
        self._judge(idempotent=write.idempotent)
        if write.token != self.view.writes_token:
            raise self._refused(Refusal.SUPERSEDED)

    def leave(self, write: Write) -> None:
        """The write has ended, one way or the other."""
        with self._lock:
            self._under_way[write.token] -= 1
            if self._under_way[write.token] <= 0:
                del self._under_way[write.token]

    def settled(self) -> Token | None:
        """The token that no write under way is older than; None while one is."""
        with self._lock:
            token = self.view.writes_token
            return None if any(each != token for each in self._under_way) else token

    def _judge(self, *, idempotent: bool) -> None:
        writes = self.view.writes
        if writes.blocked and (not idempotent or writes.blocks_idempotent):
            raise self._refused(Refusal.FROZEN)
        if self._shut or (not idempotent and self.stale()):
            raise self._refused(Refusal.STALE)

    def _refused(self, reason: Refusal) -> WriteRefusedError:
        wait = self.view.writes.retry_after_seconds if reason is Refusal.FROZEN else 1
        return WriteRefusedError(reason, retry_after_seconds=wait)


_GATES: "weakref.WeakSet[Gate]" = weakref.WeakSet()


def _forked() -> None:
    for gate in list(_GATES):
        gate.forked()
        logger.error("a guard does not survive a fork: make one in each process; this one is shut")


os.register_at_fork(after_in_child=_forked)
