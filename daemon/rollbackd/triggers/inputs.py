"""What the rules read: which series report, and which selectors have found nothing for long."""

from collections.abc import Iterator, Sequence

from rollbackd.model.labels import Labels
from rollbackd.promql.series import LOOKBACK_MS, Series
from rollbackd.promql.store import Store
from rollbackd.triggers.building import AnyRule


def silences(store: Store, rules: Sequence[AnyRule], now_ms: int) -> list[tuple[str, str, int]]:
    """(rule, selector, for how many milliseconds it has matched nothing), 0 while it does."""
    found: list[tuple[str, str, int]] = []
    for selector, readers in store.readers():
        since_ms = store.silent_since(selector)
        silent_ms = 0 if since_ms is None else max(0, now_ms - since_ms)
        found += [(rules[index].name, str(selector), silent_ms) for index in readers]
    return found


def reporting(
    store: Store, rules: Sequence[AnyRule], now_ms: int, rule: str | None
) -> Iterator[tuple[str, list[Labels]]]:
    """(selector, those of its series that have a value within the lookback), of one rule or all.

    Lazy: the series of a selector are looked at when it is asked for.
    """
    for selector, readers in store.readers():
        if rule is None or any(rules[index].name == rule for index in readers):
            alive = [s.labels for s in store.members(selector) if _reports(s, now_ms)]
            yield str(selector), alive


def _reports(series: Series, now_ms: int) -> bool:
    if series.newest >= now_ms - LOOKBACK_MS:
        return True
    held = series.held
    return held is not None and held.is_data and held.at(now_ms) is not None
