"""What a rule looked at, kept for the post-mortem: the samples behind its selectors, bounded."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from rollbackd.model.incidents import SeriesWindow
from rollbackd.model.labels import METRIC_NAME, Labels
from rollbackd.model.triggers import Trigger
from rollbackd.promql.matchers import Selector
from rollbackd.promql.series import LOOKBACK_MS, Series
from rollbackd.promql.store import Store
from rollbackd.triggers.alerting import AlertRule
from rollbackd.triggers.building import AnyRule, Compile

#: At most so many series, samples of one series, and samples in all.
MOST_SERIES: Final = 40
MOST_SAMPLES_EACH: Final = 5_000
MOST_SAMPLES: Final = 10_000
_HELD_EVERY_MS: Final = 60_000


def reads_of(
    triggers: Iterable[Trigger], rules: Iterable[AnyRule], compile_text: Compile
) -> Iterator[tuple[Selector, int]]:
    """What the rules of these triggers read, as far back as they look and their `for` reaches.

    Raises ValueError for an expression that does not compile.
    """
    known = {(rule.group, rule.name): rule for rule in rules if isinstance(rule, AlertRule)}
    for trigger in triggers:
        rule = known.get((trigger.group, trigger.rule))
        for selector, window_ms in compile_text(trigger.expr).reads:
            yield selector, window_ms + (rule.for_ms if rule else 0)


def record_windows(
    store: Store,
    reads: Iterable[tuple[Selector, int]],
    now_ms: int,
    keeps: Callable[[Labels], bool],
) -> tuple[list[SeriesWindow], int]:
    """The windows of the series that are kept, by labels, and how many more there were.

    `reads` are selectors with how far back each looks, in milliseconds. A series that several of
    them read is there once, as far back as the furthest.
    """
    reach: dict[Labels, tuple[Series, int]] = {}
    for selector, window_ms in reads:
        for series in store.members(selector):
            if keeps(series.labels):
                before = reach.get(series.labels, (series, LOOKBACK_MS))[1]
                reach[series.labels] = (series, max(before, window_ms))
    chosen = sorted(reach.items(), key=lambda item: item[0])
    most = min(MOST_SAMPLES_EACH, MOST_SAMPLES // max(1, min(MOST_SERIES, len(chosen))))
    found = [
        window
        for _, (series, window_ms) in chosen
        if (window := _recorded(series, now_ms - window_ms, now_ms, most)) is not None
    ]
    return found[:MOST_SERIES], max(0, len(found) - MOST_SERIES)


def values_within(
    store: Store, selector: Selector, start_ms: int, end_ms: int, keeps: Callable[[Labels], bool]
) -> list[float]:
    """Every sample of a closed range, over all series that a selector matches and are kept."""
    store.settle()
    found: list[float] = []
    for series in store.members(selector):
        window = series.window(start_ms, end_ms) if keeps(series.labels) else None
        if window is not None:
            found.extend(window.values)
    return found


def _recorded(series: Series, start_ms: int, end_ms: int, most: int) -> SeriesWindow | None:
    if series.held is not None and not series.times:
        # what holds without samples, a page or a baseline, is written down once a minute
        times = range(end_ms, start_ms - 1, -_HELD_EVERY_MS)[:most]
        points = ((time, series.held.at(time)) for time in reversed(times))
        samples = [(time, value) for time, value in points if value is not None]
        count = len(samples)
    else:
        window = series.window(start_ms, end_ms)
        samples, count = ([], 0) if window is None else (window.thinned(most), len(window))
    if not samples:
        return None
    labels = dict(series.labels)
    return SeriesWindow(
        metric=labels.pop(METRIC_NAME, ""), labels=labels, samples=samples, count=count
    )
