"""Where the values of a row go: found once for each schema, then by identity."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from rollbackd.model.events import Row, Schema
from rollbackd.model.labels import Labels
from rollbackd.promql.series import Series

#: Schemas whose routes are remembered.
_REMEMBERED: Final = 50_000
_NEVER: Final = -(1 << 62)


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


class Route:
    """The series that take values of a row, and which values these are."""

    __slots__ = ("picks", "refused", "series")

    def __init__(
        self, series: tuple[Series, ...], picks: list[int] | None, refused: tuple[Refusal, ...]
    ) -> None:
        self.series = series
        #: The places of the values; None when all are taken.
        self.picks = picks
        #: Why the others are not.
        self.refused = refused


class Taken(NamedTuple):
    """What became of rows: how many values were kept, and the newest time among them."""

    accepted: int
    newest_ms: int | None
    #: Series that took values of rows of which others came too late.
    partly: list[Series]


class Routes:
    """Routes by schema. What leaves the store has to be forgotten here."""

    def __init__(self, find: Callable[[Labels], Series | Refusal]) -> None:
        self._find = find
        self._known: dict[Schema, Route] = {}

    def take(  # noqa: PLR0912  # a call for each value would cost more than all it does
        self,
        rows: Iterable[Row],
        arrived: set[Route],
        *,
        now_ms: int,
        ahead_ms: int,
        lateness_ms: int,
        refused: dict[Refusal, int],
    ) -> Taken:
        """Append rows to their series or sort them in.

        What is by more than `ahead_ms` later than now, or by more than the lateness older than the
        newest of its series, is counted in `refused`; what is later than now by more than the
        lateness counts as of now. Routes that were taken whole are added to `arrived`.
        """
        accepted = early = late = 0
        partly: list[Series] = []
        newest_ms, route_of, arrive = _NEVER, self._known.get, arrived.add
        near_ms = now_ms + lateness_ms
        for schema, time_ms, values in rows:
            route = route_of(schema) or self._make(schema)
            if route.picks is not None:
                for reason in route.refused:
                    refused[reason] = refused.get(reason, 0) + 1
                values = [values[place] for place in route.picks]  # noqa: PLW2901  # those that are read
            if time_ms > near_ms or not values:
                if time_ms > now_ms + ahead_ms or not values:
                    early += len(values)
                    continue
                time_ms = now_ms  # noqa: PLW2901  # where it stood, it would make all others late
            accepted, was_late = accepted + len(values), late
            for series, value in zip(route.series, values):  # noqa: B905  # so they are made
                if time_ms >= series.newest:
                    held = series.values
                    if not held:
                        series.append(time_ms, value)
                        continue
                    if not value >= held[-1]:  # NaN and what follows it, too
                        if value != value:  # noqa: PLR0124  # it may be the stale marker
                            series.append(time_ms, value)
                            continue
                        series.dropped_at = time_ms
                        if value < series.readers.least:
                            series.readers.widen(value)
                    if value > series.readers.greatest:
                        series.readers.widen(value)
                    series.times.append(time_ms)
                    held.append(value)
                    series.newest = time_ms
                elif time_ms >= series.newest - lateness_ms:
                    series.insert(time_ms, value)
                else:
                    late += 1
            if late == was_late:
                arrive(route)
            else:
                kept = [s for s in route.series if time_ms >= s.newest - lateness_ms]
                if not kept:
                    continue
                partly += kept
            if time_ms > newest_ms:  # noqa: PLR1730  # cheaper than a call
                newest_ms = time_ms
        for reason, count in ((Refusal.TOO_EARLY, early), (Refusal.TOO_LATE, late)):
            if count:
                refused[reason] = refused.get(reason, 0) + count
        return Taken(accepted - late, None if newest_ms == _NEVER else newest_ms, partly)

    def _make(self, schema: Schema) -> Route:
        """Find the series of a schema, and remember them unless room may be made for more."""
        found = [self._find(labels) for labels in schema.series]
        series = tuple([each for each in found if isinstance(each, Series)])
        refused = tuple([each for each in found if isinstance(each, Refusal)])
        picks = [n for n, each in enumerate(found) if isinstance(each, Series)] if refused else None
        route = Route(series, picks, refused)
        if Refusal.SERIES_LIMIT not in refused:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[schema] = route
        return route

    def forget(self) -> None:
        """Series were removed."""
        self._known.clear()
