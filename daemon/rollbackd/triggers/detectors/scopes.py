"""What a detector knows of each scope, bounded, and dropped with the partition it came from."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from rollbackd.model.labels import Scope

T = TypeVar("T")

#: Scopes that make room at once when there are too many.
_SHARE: Final = 10


class _Held(Generic[T]):
    __slots__ = ("newest_ms", "origins", "state")

    def __init__(self, state: T) -> None:
        self.state = state
        self.newest_ms = 0
        self.origins: set[str] = set()


class Scopes(Generic[T]):
    """State by scope: at most `most`, those that were heard of last."""

    def __init__(self, make: Callable[[Scope], T], most: int) -> None:
        self._make = make
        self._most = most
        self._held: dict[Scope, _Held[T]] = {}
        #: Scopes that were forgotten for others.
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._held)

    def of(self, scope: Scope, at_ms: int, origin: str) -> tuple[T, int]:
        """The state of a scope that is heard of, and the newest time that it was heard of at."""
        held = self._held.get(scope)
        if held is None:
            if len(self._held) >= self._most:
                self._make_room()
            held = self._held[scope] = _Held(self._make(scope))
        held.newest_ms = max(held.newest_ms, at_ms)
        held.origins.add(origin)
        return held.state, held.newest_ms

    def forget(self, origin: str) -> None:
        """Drop the scopes that an origin has fed, whoever else has: half of it is no state."""
        for scope in [s for s, held in self._held.items() if origin in held.origins]:
            del self._held[scope]

    def _make_room(self) -> None:
        oldest = sorted(self._held, key=lambda scope: self._held[scope].newest_ms)
        for scope in oldest[: max(1, self._most // _SHARE)]:
            del self._held[scope]
            self.evicted += 1
