"""Turns of Kafka consumers: which are under way, under which token, and whether the next may begin.

A pause is acknowledged once every turn that began before it has ended. Nothing is lost by it: what
was not consumed stays in Kafka.
"""

import threading
from collections import Counter
from types import TracebackType
from typing import Self

from rollbackd.guard.view import Token
from rollbackd.guard.writes import Gate


class Turn:
    """One round of a consumer: fetch, handle, commit. It is true where it may be made."""

    def __init__(self, turns: "Turns", group: str, token: Token, *, allowed: bool) -> None:
        self.group = group
        self.token = token
        self._turns = turns
        self._allowed = allowed

    def __bool__(self) -> bool:
        return self._allowed

    def still_allowed(self) -> bool:
        """Whether the next record may still be handled: no pause since, and the lease runs."""
        return self._allowed and self._turns.allowed(self.group, self.token)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._allowed:
            self._turns.leave(self)


class Turns:
    """Lets turns begin by the view of the gate, and knows which have not ended yet."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._lock = threading.Lock()
        self._under_way: Counter[Token] = Counter()
        self._groups: set[str] = set()

    @property
    def groups(self) -> list[str]:
        """The groups that this process consumes for, as far as they have asked."""
        with self._lock:
            return sorted(self._groups)

    def begin(self, group: str) -> Turn:
        """A turn of a group."""
        # token and count are one act against `settled`, so that no turn is missed by it
        with self._lock:
            self._groups.add(group)
            token = self._gate.view.consumers_token
            allowed = self.allowed(group, token)
            if allowed:
                self._under_way[token] += 1
        return Turn(self, group, token, allowed=allowed)

    def allowed(self, group: str, token: Token) -> bool:
        """Whether the group may consume under this token, as it was read last.

        Past the lease nobody knows, and whoever waits for a pause no longer waits for this process.
        """
        view = self._gate.view
        stands = view.consumers_token == token and not view.consumers.stop(group)
        return stands and not self._gate.stale()

    def leave(self, turn: Turn) -> None:
        """The turn has ended, one way or the other."""
        with self._lock:
            self._under_way[turn.token] -= 1
            if self._under_way[turn.token] <= 0:
                del self._under_way[turn.token]

    def settled(self) -> Token | None:
        """The token that no turn under way is older than; None while one is."""
        with self._lock:
            token = self._gate.view.consumers_token
            return None if any(each != token for each in self._under_way) else token
