"""The series that somebody reads: admission, late samples, bounds, retention and expiry."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rollbackd.model.events import Sample
from rollbackd.model.labels import Labels
from rollbackd.promql.entries import Entry
from rollbackd.promql.matchers import Selector
from rollbackd.promql.series import Held, Readers, Series
from rollbackd.promql.values import STALE, is_stale

_UNREAD_MEMORY = 50_000
_FOREVER = 1 << 62


class Refusal(StrEnum):
    """Why a sample was not kept."""

    #: It is older than the newest of its series by more than the lateness.
    TOO_LATE = "too_late"
    #: Its time lies further in the future than a clock may be wrong.
    TOO_EARLY = "too_early"
    #: The bound on series is reached; series that are known go on.
    SERIES_LIMIT = "series_limit"
    #: No rule and no exit target reads its series.
    NOT_READ = "not_read"


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of a batch. `newest_ms` is the newest time kept so far, over all batches."""

    accepted: int
    refused: dict[Refusal, int]
    newest_ms: int | None


class Store:
    """Series by label set, with every selector's members kept up to date.

    Register all selectors first; what matches none of them is refused, not stored.
    """

    def __init__(
        self, *, lateness_ms: int, ahead_ms: int, max_series: int, retain_ms: int = 0
    ) -> None:
        self.lateness_ms = lateness_ms
        self.ahead_ms = ahead_ms
        self.max_series = max_series
        self.retain_ms = retain_ms
        self.newest_ms: int | None = None
        self._series: dict[Labels, Series] = {}
        self._entries: dict[Selector, Entry] = {}
        #: By a pair that has to be among the labels; selectors that fix none are under None.
        self._by_pair: dict[tuple[str, str] | None, list[Entry]] = {}
        self._readers: dict[tuple[Entry, ...], Readers] = {}
        self._dirty: set[Readers] = set()
        #: Series that samples came for, by where these came from.
        self._arrived: dict[str | None, set[Series]] = {}
        #: All the origins of series that have more than one.
        self._shared: dict[Series, set[str]] = {}
        self._unread: set[Labels] = set()

    def __len__(self) -> int:
        return len(self._series)

    @property
    def dirty(self) -> set[Readers]:
        """Readers whose series changed since it was cleared."""
        if self._arrived:
            self._settle()
        return self._dirty

    @property
    def longest_window_ms(self) -> int:
        """The furthest that any selector looks back."""
        return max((e.window_ms for e in self._entries.values()), default=0)

    @property
    def samples(self) -> int:
        """How many samples are held."""
        return sum(len(s.times) for s in self._series.values())

    def register(self, selector: Selector, *, window_ms: int, rule: int | None = None) -> None:
        """Keep what this selector matches for `window_ms`; `rule` becomes dirty when it changes."""
        entry = self._entries.get(selector)
        if entry is None:
            entry = self._entries[selector] = Entry(selector)
            self._by_pair.setdefault(selector.rarest, []).append(entry)
        entry.window_ms = max(entry.window_ms, window_ms, self.retain_ms)
        if rule is not None:
            entry.rules.add(rule)

    def entry(self, selector: Selector) -> Entry | None:
        """A registered selector, all changes noted; None when it is not registered."""
        if self._arrived:
            self._settle()
        return self._entries.get(selector)

    def members(self, selector: Selector) -> Sequence[Series]:
        """What a selector matches, sorted by labels; found by a scan if it is not registered."""
        entry = self._entries.get(selector)
        if entry is not None:
            return entry.members
        found = [s for s in self._series.values() if selector.matches(dict(s.labels))]
        return sorted(found, key=_by_labels)

    def silent_since(self, selector: Selector) -> int | None:
        """Since when a registered selector has matched nothing; None while it matches something."""
        entry = self._entries.get(selector)
        return None if entry is None else entry.silent_since_ms

    def readers(self) -> Iterator[tuple[Selector, frozenset[int]]]:
        """Every registered selector with the rules that read it."""
        return ((e.selector, frozenset(e.rules)) for e in self._entries.values())

    def ingest(self, samples: Iterable[Sample], now_ms: int, origin: str = "") -> IngestResult:
        """Take samples in any order of series. `now_ms` is the wall or the stream's time."""
        refused: dict[Refusal, int] = {}
        accepted = 0
        known = self._series.get
        arrived = self._arrived.setdefault(origin, set()).add
        too_early = now_ms + self.ahead_ms
        newest_kept = -_FOREVER if self.newest_ms is None else self.newest_ms
        for labels, value, time_ms in samples:
            series = known(labels)
            if series is None:
                admitted = self._admit(labels)
                if isinstance(admitted, Refusal):
                    refused[admitted] = refused.get(admitted, 0) + 1
                    continue
                series = admitted
            if time_ms > too_early:
                refused[Refusal.TOO_EARLY] = refused.get(Refusal.TOO_EARLY, 0) + 1
                continue
            values = series.values
            if time_ms >= series.newest:
                # `not >=` also catches NaN on either side.
                if not (values and value >= values[-1]):
                    if values:
                        series.dropped_at = time_ms
                    if value != value and is_stale(value):  # noqa: PLR0124  # NaN
                        series.note_stale(time_ms)
                series.push_time(time_ms)
                series.push_value(value)
                series.newest = time_ms
                newest_kept = max(newest_kept, time_ms)
                if len(values) >= series.trim_at:
                    self._trim(series, now_ms)
            elif time_ms >= series.newest - self.lateness_ms:
                series.insert(time_ms, value)
            else:
                refused[Refusal.TOO_LATE] = refused.get(Refusal.TOO_LATE, 0) + 1
                continue
            accepted += 1
            arrived(series)
        self.newest_ms = newest_kept if newest_kept > -_FOREVER else None
        return IngestResult(accepted, refused, self.newest_ms)

    def write(self, labels: Labels, value: float, time_ms: int) -> bool:
        """Append what a rule made; False when nobody reads it.

        Readers become dirty only when the value changed: a rule that says the same again wakes
        nobody. A time before the newest one is dropped.
        """
        series = self._series.get(labels) or self._admit(labels)
        if isinstance(series, Refusal):
            return False
        if time_ms < series.newest:
            return False
        before = series.at(time_ms, None)
        if series.times and series.newest == time_ms:
            series.overwrite_last(value)
        else:
            series.push_time(time_ms)
            series.push_value(value)
        series.dropped_at = series.newest = time_ms
        if value != value and is_stale(value):  # noqa: PLR0124  # NaN
            series.note_stale(time_ms)
        self._note(series)
        if before is None or before[1] != value:
            self._dirty.add(series.readers)
        if len(series.values) >= series.trim_at:
            self._trim(series, time_ms)
        return True

    def end(self, labels: Labels, time_ms: int) -> None:
        """Mark a series that a rule made as stale; readers become dirty."""
        series = self._series.get(labels)
        if series is not None and series.at(time_ms, None) is not None:
            self.write(labels, STALE, time_ms)

    def held(self, labels: Labels, *, is_data: bool) -> Held | None:
        """The intervals of a series, made when it is read and missing; its readers become dirty."""
        series = self._series.get(labels) or self._admit(labels)
        if isinstance(series, Refusal):
            return None
        self._arrived.setdefault(None, set()).add(series)
        return series.hold(is_data=is_data)

    def expire(self, now_ms: int) -> int:
        """Forget series that no window reaches any more; returns how many."""
        gone = [s for s in self._series.values() if self._is_idle(s, now_ms)]
        self._remove(gone)
        for entry in self._entries.values():
            if not entry.members and entry.silent_since_ms is None:
                entry.silent_since_ms = now_ms
        return len(gone)

    def drop_origin(self, origin: str) -> int:
        """Forget the series that only this origin has fed; returns how many.

        One that another origin feeds too is kept, with all of its samples, until the last of them
        is dropped. What holds without samples, a page or a baseline, stays.
        """
        self._settle()
        gone = [s for s in self._series.values() if self._leaves(s, origin)]
        self._remove(gone)
        for series in gone:
            self._dirty.add(series.readers)
            if series.held is not None:
                fresh = self._admit(series.labels)
                assert isinstance(fresh, Series)
                fresh.held = series.held
                self._note(fresh)
        return len(gone)

    def take_over(self, old: "Store") -> None:
        """Adopt the samples of every series that is read here too; `old` is spent."""
        old._settle()  # noqa: SLF001  # the same class
        for labels, series in old._series.items():  # noqa: SLF001
            mine = self._admit(labels)
            if isinstance(mine, Refusal):
                continue
            mine.adopt(series)
            mine.origin = series.origin
            if series in old._shared:  # noqa: SLF001
                self._shared[mine] = old._shared[series]  # noqa: SLF001
            self._arrived.setdefault(None, set()).add(mine)
        for selector, entry in self._entries.items():
            if not entry.members:
                entry.silent_since_ms = old.silent_since(selector)
        self.newest_ms = old.newest_ms

    def _remove(self, gone: Sequence[Series]) -> None:
        if not gone:
            return
        for series in gone:
            del self._series[series.labels]
            self._shared.pop(series, None)
        dropped = set(map(id, gone))
        for entry in self._entries.values():
            if any(id(s) in dropped for s in entry.members):
                newest = max(s.newest for s in entry.members)
                entry.dismiss([s for s in entry.members if id(s) not in dropped])
                if not entry.members and newest > -_FOREVER:
                    entry.silent_since_ms = newest

    def _leaves(self, series: Series, origin: str) -> bool:
        """Take an origin from a series; whether it was the only one."""
        origins = self._shared.get(series)
        if origins is None:
            return series.origin == origin
        origins.discard(origin)
        if len(origins) == 1:
            (series.origin,) = origins
            del self._shared[series]
        return False

    def _is_idle(self, series: Series, now_ms: int) -> bool:
        reach = now_ms - series.readers.window_ms - self.lateness_ms
        held = series.held
        if held is not None:
            held.intervals = [i for i in held.intervals if i[1] >= reach]
            if held.intervals:
                return False
        return series.newest < reach

    def _trim(self, series: Series, now_ms: int) -> None:
        # The older of the two times: neither a replay nor a wrong clock may empty a window.
        at = min(now_ms, series.newest)
        series.trim(at - series.readers.window_ms - self.lateness_ms)

    def _admit(self, labels: Labels) -> Series | Refusal:
        if labels in self._unread:
            return Refusal.NOT_READ
        values = dict(labels)
        entries = [
            entry
            for pair in (None, *labels)
            for entry in self._by_pair.get(pair, ())
            if entry.selector.matches(values)
        ]
        if not entries:
            if len(self._unread) >= _UNREAD_MEMORY:
                self._unread.clear()
            self._unread.add(labels)
            return Refusal.NOT_READ
        if len(self._series) >= self.max_series:
            return Refusal.SERIES_LIMIT
        series = self._series[labels] = Series(labels, self._readers_of(entries))
        for entry in entries:
            entry.admit(series)
        return series

    def _readers_of(self, entries: list[Entry]) -> Readers:
        key = tuple(entries)
        known = self._readers.get(key)
        if known is None:
            known = self._readers[key] = Readers(key)
        return known

    def _settle(self) -> None:
        """Tell the readers of every series that samples came for."""
        for origin, arrived in self._arrived.items():
            readers = {series.readers for series in arrived}
            self._dirty |= readers
            for series in arrived:
                if origin is not None and origin != series.origin:
                    self._attribute(series, origin)
                for entry in series.readers.entries:
                    entry.note(series)
            for entry in {entry for each in readers for entry in each.entries}:
                entry.forget()
        self._arrived.clear()

    def _attribute(self, series: Series, origin: str) -> None:
        if series.origin is None:
            series.origin = origin
        else:
            self._shared.setdefault(series, {series.origin}).add(origin)

    def _note(self, series: Series) -> None:
        for entry in series.readers.entries:
            entry.note(series)
            entry.forget()


def _by_labels(series: Series) -> Labels:
    return series.labels
