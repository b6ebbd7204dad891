"""A bounded memory that forgets what was not used lately."""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Generations(Generic[K, V]):
    """At most `2 * size` values by key.

    Two generations instead of a linked list: a hit in the young one costs one lookup, and what was
    not used since the last turn is forgotten. `find` looks at the young one only, and is another
    function after each turn.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._old: dict[K, V] = {}
        self._begin()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """The value, which is young again, or None."""
        found = self.find(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Remember a value."""
        if len(self._young) >= self._size:
            self._old = self._young
            self._begin()
        self._young[key] = value

    def _begin(self) -> None:
        self._young: dict[K, V] = {}
        self.find = self._young.get
