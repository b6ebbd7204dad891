"""Reading series: instant selectors, range selectors and subqueries."""

from collections.abc import Iterator
from dataclasses import dataclass

from rollbackd.promql.entries import Entry
from rollbackd.promql.extents import Extent
from rollbackd.promql.following import Following, Glance, Plain
from rollbackd.promql.freshness import Seen
from rollbackd.promql.matchers import Selector
from rollbackd.promql.operators import Context
from rollbackd.promql.series import LOOKBACK_MS, Series
from rollbackd.promql.store import Store
from rollbackd.promql.values import Columns, Element
from rollbackd.promql.windows import Window


@dataclass(frozen=True, slots=True)
class When:
    """`offset` and `@`: which time is read instead of now."""

    offset_ms: int = 0
    #: A fixed time of `@`.
    at_ms: int | None = None
    #: `@ start()` or `@ end()`: the time of the whole expression.
    at_origin: bool = False

    def time(self, ctx: Context) -> int:
        """The time to read at."""
        if self.at_origin:
            return ctx.origin_ms - self.offset_ms
        base = ctx.now_ms if self.at_ms is None else self.at_ms
        return base - self.offset_ms

    @property
    def stands_alone(self) -> bool:
        """Whether what is read at a time never depends on what comes after that time."""
        return self.at_ms is None and not self.at_origin and self.offset_ms >= 0

    @property
    def reach_ms(self) -> int:
        """How much further back it makes a selector look; 0 when it looks forward."""
        return max(0, self.offset_ms)


def _newest(series: Series, start_ms: int, end_ms: int) -> Glance | None:
    found = series.at(end_ms, start_ms)
    return None if found is None else (found[1], found[0], found[0])


_NEWEST = Plain(_newest)


class _Selecting:
    """What reads series by a selector."""

    def __init__(self, selector: Selector, when: When) -> None:
        self.selector = selector
        self.when = when
        self._found: tuple[Store, Entry] | None = None

    def entry(self, store: Store) -> Entry | None:
        """The selector's entry, all changes noted; None when it is not registered."""
        if self._found is not None and self._found[0] is store:
            store.settle()
            return self._found[1]
        entry = store.entry(self.selector)
        self._found = None if entry is None else (store, entry)
        return entry

    def extent(self, ctx: Context, *, anew: bool = False) -> Extent | None:
        """That of all samples that are held; None when the selector is not registered."""
        entry = self.entry(ctx.store)
        if entry is None:
            return None
        if anew:
            entry.narrow(ctx.now_ms)
        return entry.extent


class InstantSelector(_Selecting):
    """The newest sample of each series within the lookback."""

    never_fails = True

    def __init__(self, selector: Selector, when: When) -> None:
        super().__init__(selector, when)
        self.one_name = bool(selector.name)
        self._following = Following(lambda: _NEWEST, keeps_name=True)

    def vector(self, ctx: Context) -> list[Element]:
        """One element for each series that has a sample and is not stale."""
        return self.columns(ctx).elements()

    def columns(self, ctx: Context) -> Columns:
        """The same as columns."""
        entry = self.entry(ctx.store)
        if entry is None:
            found = [(series.labels, value) for series, _, value in self.samples(ctx)]
            return Columns([labels for labels, _ in found], [value for _, value in found])
        end = self.when.time(ctx)
        start = end - LOOKBACK_MS if ctx.since_ms is None else max(end - LOOKBACK_MS, ctx.since_ms)
        columns = self._following.follow(entry, start, end)
        if ctx.seen is not None:
            ctx.seen.add(*self._following.seen())
        return columns

    def samples(self, ctx: Context) -> Iterator[tuple[Series, int, float]]:
        """(series, time of its sample, value)."""
        time_ms = self.when.time(ctx)
        seen = ctx.seen
        for series in ctx.store.members(self.selector):
            found = series.at(time_ms, ctx.since_ms)
            if found is None:
                continue
            if seen is not None:
                note(seen, series, found[0])
            yield series, found[0], found[1]


class Timestamps:
    """`timestamp(selector)`: the times of the samples themselves, in seconds."""

    def __init__(self, operand: InstantSelector) -> None:
        self.operand = operand
        self.one_name = operand.one_name

    def vector(self, ctx: Context) -> list[Element]:
        """The times, without metric names."""
        return [(series.bare, t / 1_000) for series, t, _ in self.operand.samples(ctx)]


class RangeSelector(_Selecting):
    """The samples of each series in a range; see Series.window for its ends."""

    def __init__(self, selector: Selector, range_ms: int, when: When) -> None:
        super().__init__(selector, when)
        self.range_ms = range_ms
        self.one_name = bool(selector.name)

    def bounds(self, ctx: Context) -> tuple[int, int]:
        """Start and end of the range, both inside; the start may lie behind the end."""
        end = self.when.time(ctx)
        start = end - self.range_ms
        if ctx.since_ms is not None and ctx.since_ms > start:
            start = ctx.since_ms
        return start, end

    def windows(self, ctx: Context) -> Iterator[Window]:
        """One window for each series that has samples in the range."""
        start, end = self.bounds(ctx)
        if start > end:
            return
        seen = ctx.seen
        for series in ctx.store.members(self.selector):
            window = series.window(start, end)
            if window is None:
                continue
            if seen is not None:
                note(seen, series, window.last_ms)
            yield window


def note(seen: Seen, series: Series, time_ms: int) -> None:
    """A page was last seen when its notice came; a baseline says nothing of how fresh data is."""
    if series.held is None:
        seen.add([series.labels], [time_ms])
    elif series.held.is_data:
        seen.add([series.labels], [series.held.seen_ms])
