"""The series that somebody reads: admission, late samples, bounds, retention and expiry."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rollbackd.model.events import Rows, Sample
from rollbackd.model.labels import Labels
from rollbackd.promql.admission import Admission
from rollbackd.promql.arrivals import Arrivals
from rollbackd.promql.entries import Entry
from rollbackd.promql.matchers import Selector
from rollbackd.promql.routes import Refusal, Routes
from rollbackd.promql.series import Held, Readers, Series
from rollbackd.promql.values import STALE, is_stale


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
        self._admission = Admission()
        self._routes = Routes(self._find)
        self._arrivals = Arrivals(lambda series: self._trim(series, self._now_ms))
        self._now_ms = 0

    def __len__(self) -> int:
        return len(self._series)

    @property
    def dirty(self) -> set[Readers]:
        """Readers whose series changed since it was cleared."""
        return self._arrivals.dirty

    @property
    def longest_window_ms(self) -> int:
        """The furthest that any selector looks back."""
        return max((e.window_ms for e in self._entries.values()), default=0)

    @property
    def samples(self) -> int:
        """How many samples are held."""
        self._arrivals.settle()
        return sum(len(s.times) for s in self._series.values())

    def register(self, selector: Selector, *, window_ms: int, rule: int | None = None) -> None:
        """Keep what this selector matches for `window_ms`; `rule` becomes dirty when it changes."""
        entry = self._entries.get(selector)
        if entry is None:
            entry = self._entries[selector] = Entry(selector)
            self._admission.register(entry)
        entry.window_ms = max(entry.window_ms, window_ms, self.retain_ms)
        if rule is not None:
            entry.rules.add(rule)

    def entry(self, selector: Selector) -> Entry | None:
        """A registered selector, all changes noted; None when it is not registered."""
        self.settle()
        return self._entries.get(selector)

    def settle(self) -> None:
        """Note in the entries which series samples came for."""
        self._arrivals.settle()

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
        self._now_ms = now_ms
        if isinstance(samples, Rows):
            accepted = self._take_rows(samples, now_ms, origin, refused)
        else:
            accepted = self._take(samples, now_ms, origin, refused)
        return IngestResult(accepted, refused, self.newest_ms)

    def write(self, labels: Labels, value: float, time_ms: int) -> bool:
        """Append what a rule made; False when nobody reads it.

        Readers become dirty only when the value changed: a rule that says the same again wakes
        nobody. A time before the newest one is dropped.
        """
        series = self._find(labels)
        if isinstance(series, Refusal):
            return False
        if time_ms < series.newest:
            return False
        before = series.at(time_ms, None)
        if series.times and series.newest == time_ms:
            series.overwrite_last(value)
        else:
            series.times.append(time_ms)
            series.values.append(value)
            series.readers.widen(value)
        series.dropped_at = series.newest = time_ms
        if value != value and is_stale(value):  # noqa: PLR0124  # NaN
            series.note_stale(time_ms)
        self._arrivals.note(series)
        if before is None or before[1] != value:
            self._arrivals.soil(series.readers)
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
        series = self._find(labels)
        if isinstance(series, Refusal):
            return None
        self._arrivals.of(None).add(series)
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
        self._arrivals.settle()
        gone = [s for s in self._series.values() if self._arrivals.leaves(s, origin)]
        self._remove(gone)
        for series in gone:
            self._arrivals.soil(series.readers)
            if series.held is not None:
                fresh = self._admit(series.labels)
                assert isinstance(fresh, Series)
                fresh.take_hold(series.held)
                self._arrivals.note(fresh)
        return len(gone)

    def take_over(self, old: "Store") -> None:
        """Adopt the samples of every series that is read here too; `old` is spent."""
        before = old._arrivals  # noqa: SLF001  # the same class
        before.settle()
        for labels, series in old._series.items():  # noqa: SLF001
            mine = self._admit(labels)
            if isinstance(mine, Refusal):
                continue
            mine.adopt(series)
            self._arrivals.inherit(mine, series.origin, before.origins(series))
        for selector, entry in self._entries.items():
            if not entry.members:
                entry.silent_since_ms = old.silent_since(selector)
        self.newest_ms = old.newest_ms

    def _take(
        self, samples: Iterable[Sample], now_ms: int, origin: str, refused: dict[Refusal, int]
    ) -> int:
        accepted = 0
        arrived = self._arrivals.of(origin)
        for labels, value, time_ms in samples:
            series = self._find(labels)
            refusal = (
                series if isinstance(series, Refusal) else self._put(series, value, time_ms, now_ms)
            )
            if refusal is not None:
                refused[refusal] = refused.get(refusal, 0) + 1
                continue
            assert isinstance(series, Series)
            accepted += 1
            arrived.add(series)
        return accepted

    def _put(self, series: Series, value: float, time_ms: int, now_ms: int) -> Refusal | None:
        if time_ms > now_ms + self.lateness_ms:
            if time_ms > now_ms + self.ahead_ms:
                return Refusal.TOO_EARLY
            time_ms = now_ms
        if time_ms < series.newest - self.lateness_ms:
            return Refusal.TOO_LATE
        self.newest_ms = time_ms if self.newest_ms is None else max(self.newest_ms, time_ms)
        if time_ms < series.newest:
            series.insert(time_ms, value)
            return None
        series.append(time_ms, value)
        if len(series.values) >= series.trim_at:
            self._trim(series, now_ms)
        return None

    def _take_rows(self, rows: Rows, now_ms: int, origin: str, refused: dict[Refusal, int]) -> int:
        """As `_take`; series that have grown too long are cut when the arrivals settle."""
        taken = self._routes.take(
            rows.rows,
            self._arrivals.of_rows(origin),
            now_ms=now_ms,
            ahead_ms=self.ahead_ms,
            lateness_ms=self.lateness_ms,
            refused=refused,
        )
        if taken.partly:
            self._arrivals.of(origin).update(taken.partly)
        if taken.newest_ms is not None:
            self.newest_ms = max(taken.newest_ms, self.newest_ms or taken.newest_ms)
        self._arrivals.count(taken.accepted)
        return taken.accepted

    def _find(self, labels: Labels) -> Series | Refusal:
        return self._series.get(labels) or self._admit(labels)

    def _remove(self, gone: Sequence[Series]) -> None:
        if not gone:
            return
        self._routes.forget()
        for series in gone:
            del self._series[series.labels]
            self._arrivals.remove(series)
        dropped = set(map(id, gone))
        for entry in self._entries.values():
            if any(id(s) in dropped for s in entry.members):
                newest = max((s.newest for s in entry.members if s.is_fed), default=None)
                entry.dismiss([s for s in entry.members if id(s) not in dropped])
                if not entry.members and newest is not None:
                    entry.silent_since_ms = newest

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
        readers = self._admission.readers_of(labels)
        if readers is None:
            return Refusal.NOT_READ
        if len(self._series) >= self.max_series:
            return Refusal.SERIES_LIMIT
        series = self._series[labels] = Series(labels, readers)
        # just out of reach of its windows, so that a first sample may be too late as well
        series.newest = self._now_ms - readers.window_ms - 1
        for entry in readers.entries:
            entry.admit(series)
        return series


def _by_labels(series: Series) -> Labels:
    return series.labels
