"""What an evaluation has read, and how new that was."""

from collections.abc import Callable, Iterator, Sequence

from rollbackd.model.labels import METRIC_NAME, Labels
from rollbackd.promql.following import was_read

_Names = frozenset[str]


class Seen:
    """Every series that was read, with the time of its newest sample."""

    def __init__(self) -> None:
        self._blocks: list[tuple[Sequence[Labels], Sequence[int]]] = []
        self._later: list[Callable[[], object]] = []
        self._others: list[Seen] = []
        self._indexes: dict[_Names, dict[_Names, dict[Labels, int]]] = {}

    def add(self, names: Sequence[Labels], times: Sequence[int]) -> None:
        """Series, and the time of each one's newest sample."""
        self._blocks.append((names, times))

    def add_later(self, read: Callable[[], object]) -> None:
        """What would be read but makes no difference to the result: read it if anybody asks."""
        self._later.append(read)

    def include(self, other: "Seen") -> None:
        """What another evaluation has read."""
        self._others.append(other)

    def __iter__(self) -> Iterator[tuple[Labels, int]]:
        while self._later:
            self._later.pop()()
        for names, times in self._blocks:
            for labels, time_ms in zip(names, times, strict=True):
                if was_read(time_ms):
                    yield labels, time_ms
        for other in self._others:
            yield from other

    def newest_behind(self, labels: Labels) -> int | None:
        """The newest sample among the series that do not contradict a result's labels.

        One silent service must not look fresh because another one in the same rule is.
        """
        names = frozenset(name for name, _ in labels if name != METRIC_NAME)
        index = self._indexes.get(names)
        if index is None:
            index = self._indexes[names] = self._index(names)
        times = []
        for shared, newest in index.items():
            found = newest.get(tuple(pair for pair in labels if pair[0] in shared))
            if found is not None:
                times.append(found)
        if times:
            return max(times)
        return max((time_ms for _, time_ms in self), default=None)

    def _index(self, names: _Names) -> dict[_Names, dict[Labels, int]]:
        """The newest times by the labels that series share with such a result."""
        index: dict[_Names, dict[Labels, int]] = {}
        for labels, time_ms in self:
            shared = tuple(pair for pair in labels if pair[0] in names)
            newest = index.setdefault(frozenset(name for name, _ in shared), {})
            newest[shared] = max(time_ms, newest.get(shared, time_ms))
        return index
