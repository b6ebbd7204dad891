"""Selectors that are read, the series that they match, and which of these changed lately."""

from bisect import insort
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollbackd.model.labels import Labels
from rollbackd.promql.matchers import Selector

if TYPE_CHECKING:
    from rollbackd.promql.series import Series

#: Changes that are kept: this many for each member, and a few more.
_KEPT_A_MEMBER = 2
_KEPT = 256


class Entry:
    """A selector that is read, by whom, how far back, and the series it matches, sorted."""

    __slots__ = (
        "_changes", "_forgotten", "edition", "members", "note", "rules", "selector",
        "silent_since_ms", "window_ms",
    )  # fmt: skip

    def __init__(self, selector: Selector) -> None:
        self.selector = selector
        self.rules: set[int] = set()
        self.window_ms = 0
        self.members: list[Series] = []
        #: Another number whenever the members are others.
        self.edition = 0
        #: Since when it has matched nothing, as far as anybody has looked; None while it does.
        self.silent_since_ms: int | None = None
        self._changes: list[Series] = []
        #: Called with a member that has other samples than before.
        self.note = self._changes.append
        self._forgotten = 0

    def admit(self, series: "Series") -> None:
        """Take a member in."""
        insort(self.members, series, key=_by_labels)
        self.edition += 1
        self.silent_since_ms = None

    def dismiss(self, members: "list[Series]") -> None:
        """Keep only these members."""
        self.members = members
        self.edition += 1

    @property
    def cursor(self) -> int:
        """Where the changes are now, for `since`."""
        return self._forgotten + len(self._changes)

    def since(self, cursor: int) -> "Sequence[Series] | None":
        """The members that changed since then, some twice; None when that is not known any more."""
        start = cursor - self._forgotten
        return self._changes[start:] if start >= 0 else None

    def forget(self) -> None:
        """Drop the changes when there are many more than members."""
        if len(self._changes) > _KEPT + _KEPT_A_MEMBER * len(self.members):
            self._forgotten += len(self._changes)
            self._changes.clear()


def _by_labels(series: "Series") -> Labels:
    return series.labels
