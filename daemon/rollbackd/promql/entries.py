"""Selectors that are read, the series that they match, and which of these changed lately."""

from bisect import insort
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollbackd.model.labels import Labels
from rollbackd.promql.extents import NOTHING, Extent
from rollbackd.promql.matchers import Selector

if TYPE_CHECKING:
    from rollbackd.promql.series import Readers, Series

#: Changes that are kept: this many for each member, and a few more.
_KEPT_A_MEMBER = 2
_KEPT = 256


class Entry:
    """A selector that is read, by whom, how far back, and the series it matches, sorted."""

    __slots__ = (
        "_changes", "_forgotten", "_narrowed_ms", "edition", "extent", "members", "note", "rules",
        "selector", "silent_since_ms", "window_ms",
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
        #: What the values of the members lie in.
        self.extent = NOTHING
        self._narrowed_ms: int | None = None

    def admit(self, series: "Series") -> None:
        """Take a member in."""
        insort(self.members, series, key=_by_labels)
        self.extent = self.extent.joined(series.readers.extent)
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

    def widen(self, value: float) -> None:
        """A member has this value."""
        self.extent = self.extent.joined(Extent(value, value))

    def narrow(self, now_ms: int) -> None:
        """Forget values that are not held any more; all samples are read for it, once in a window.

        Entries that begin together do it at different times.
        """
        if self._narrowed_ms is None:
            self._narrowed_ms = now_ms - hash(self.selector) % (self.window_ms + 1)
        if 0 <= now_ms - self._narrowed_ms < self.window_ms:
            return
        self._narrowed_ms = now_ms
        found: dict[Readers, Extent] = {}
        for series in self.members:
            found[series.readers] = found.get(series.readers, NOTHING).joined(series.extent)
        self.extent = NOTHING
        for readers, extent in found.items():
            readers.least, readers.greatest = extent
            self.extent = self.extent.joined(extent)

    def forget(self) -> None:
        """Drop the changes when there are many more than members."""
        if len(self._changes) > _KEPT + _KEPT_A_MEMBER * len(self.members):
            self._forgotten += len(self._changes)
            self._changes.clear()


def _by_labels(series: "Series") -> Labels:
    return series.labels
