"""What an operator makes of each series of a selector, made again only where it may differ.

Most series are silent between two evaluations. The selector's entry says which are not, and the
time of the oldest sample behind a result says when time alone changes it. So an evaluation looks
at these series only, and hands out the same lists of labels until others have a result.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from rollbackd.model.labels import Labels
from rollbackd.promql.entries import Entry
from rollbackd.promql.series import Series
from rollbackd.promql.values import Columns

#: No sample: neither does it get too old, nor is it anything that was seen.
_NEVER = 1 << 62
_ALWAYS = -_NEVER


#: (value, first, last): the value, None to leave the series out of the result though it was read;
#: it holds until the range starts behind `first`; the newest sample that it is made of.
Glance = tuple[Any, int, int]


class Look(Protocol):
    """Makes something of one series; it may keep a memory of it."""

    def look(self, series: Series, start_ms: int, end_ms: int) -> Glance | None:
        """What is made of it, or None when the range has no samples."""
        ...

    def grow(self, series: Series, start_ms: int, end_ms: int) -> Any:
        """The value if `first` is the same and `last` is the series' newest sample, else None."""
        ...


class Plain:
    """A function that keeps no memory."""

    def __init__(self, look: Callable[[Series, int, int], Glance | None]) -> None:
        self.look = look

    def grow(self, _series: Series, _start_ms: int, _end_ms: int) -> None:
        """It has to look."""


_NOTHING: Final[Glance] = (None, _NEVER, _ALWAYS)


class Following:
    """The results of one operator, for ranges that only move forward; others start anew."""

    def __init__(self, make: Callable[[], Look], *, keeps_name: bool) -> None:
        #: Gives what looks at one series, which may keep a memory of it.
        self._make = make
        self._keeps_name = keeps_name
        self._start()

    def _start(self) -> None:
        self._entry: Entry | None = None
        self._edition = self._cursor = -1
        self._begin_ms = self._end_ms = _ALWAYS
        #: A bound: no result is older.
        self._oldest_ms = _ALWAYS
        self._members: list[Series] = []
        self._slots: dict[Series, int] = {}
        self._looks: list[Look] = []
        self._values: list[Any] = []
        self._firsts = array("q")
        self._lasts = array("q")
        self._names: list[Labels] = []
        self._labels: list[Labels] = []
        self._absent: set[int] = set()
        #: The places and labels of those that have a result, while some have none.
        self._present: tuple[list[int], list[Labels]] | None = None

    def follow(self, entry: Entry, start_ms: int, end_ms: int) -> Columns:
        """One value for each member that has one, in the order of the members."""
        if entry is not self._entry or start_ms < self._begin_ms or end_ms < self._end_ms:
            self._start()
            self._entry = entry
        self._begin_ms, self._end_ms = start_ms, end_ms
        # `_doubtful` makes other lists when the members are others.
        doubtful = self._doubtful(entry, start_ms)
        members, looks, values, lasts = self._members, self._looks, self._values, self._lasts
        for slot in doubtful:
            series = members[slot]
            grown = looks[slot].grow(series, start_ms, end_ms)
            if grown is None:
                self._renew(slot, start_ms, end_ms)
            else:
                values[slot] = grown
                lasts[slot] = series.newest
        self._cursor = entry.cursor
        if self._oldest_ms < start_ms:
            self._oldest_ms = min(self._firsts, default=_NEVER)
        if not self._absent:
            return Columns(self._labels, self._values)
        if self._present is None:
            slots = [i for i in range(len(self._members)) if i not in self._absent]
            self._present = slots, [self._labels[i] for i in slots]
        slots, labels = self._present
        return Columns(labels, [values[i] for i in slots])

    def seen(self) -> tuple[Sequence[Labels], Sequence[int]]:
        """The series, and the time of the newest sample behind each result; see `was_read`."""
        return self._names, self._lasts[:]

    def _doubtful(self, entry: Entry, start_ms: int) -> Iterable[int]:
        """The slots whose results may not hold any more."""
        if entry.edition != self._edition:
            self._arrange(entry)
        changed = entry.since(self._cursor)
        if changed is None:
            return range(len(self._members))
        slots = self._slots
        found = {slots[series] for series in changed if series in slots}
        if self._oldest_ms < start_ms:
            found.update([slot for slot, first in enumerate(self._firsts) if first < start_ms])
        return found

    def _arrange(self, entry: Entry) -> None:
        """Others are members now; what was made of those that stay holds."""
        before, absent = self._slots, self._absent
        values, firsts, lasts, looks = self._values, self._firsts, self._lasts, self._looks
        self._members = list(entry.members)
        self._slots = {series: slot for slot, series in enumerate(self._members)}
        self._names = [series.labels for series in self._members]
        self._labels = (
            self._names if self._keeps_name else [series.bare for series in self._members]
        )
        places = [before.get(series) for series in self._members]
        self._values = [None if at is None else values[at] for at in places]
        self._looks = [self._make() if at is None else looks[at] for at in places]
        self._firsts = array("q", [_ALWAYS if at is None else firsts[at] for at in places])
        self._lasts = array("q", [_ALWAYS if at is None else lasts[at] for at in places])
        self._absent = {slot for slot, at in enumerate(places) if at is None or at in absent}
        self._present = None
        self._edition = entry.edition
        self._oldest_ms = _ALWAYS

    def _renew(self, slot: int, start_ms: int, end_ms: int) -> None:
        series = self._members[slot]
        glance = self._looks[slot].look(series, start_ms, end_ms)
        value, first, last = glance or _NOTHING
        if series.held is not None or series.newest > end_ms:
            # Time brings in what lies behind the end, and moves what holds.
            first = _ALWAYS
            if series.held is not None and glance is not None:
                last = series.held.seen_ms if series.held.is_data else _ALWAYS
        self._values[slot] = value
        self._firsts[slot] = first
        self._lasts[slot] = last
        self._oldest_ms = min(self._oldest_ms, first)
        if (value is None) is not (slot in self._absent):
            self._present = None
            if value is None:
                self._absent.add(slot)
            else:
                self._absent.discard(slot)


def was_read(last_ms: int) -> bool:
    """Whether a time that `seen` gave is one of a sample."""
    return last_ms != _ALWAYS
