"""Which series samples came for since anybody looked, and where the samples came from."""

from collections.abc import Callable

from rollbackd.promql.routes import Route
from rollbackd.promql.series import Readers, Series

#: Samples of rows after which series that have grown too long are cut, if nobody has looked.
_MANY = 200_000


class Arrivals:
    """Notes what came; tells the readers, all at once, when somebody looks.

    `trim` is called with series that rows have made too long.
    """

    def __init__(self, trim: Callable[[Series], None]) -> None:
        self._trim = trim
        self._dirty: set[Readers] = set()
        #: By origin, which is None where it stays as it is.
        self._series: dict[str | None, set[Series]] = {}
        self._routes: dict[str, set[Route]] = {}
        self._of_rows = 0
        #: All the origins of series that have more than one.
        self._shared: dict[Series, set[str]] = {}

    @property
    def dirty(self) -> set[Readers]:
        """Readers whose series changed since it was cleared."""
        self.settle()
        return self._dirty

    def of(self, origin: str | None) -> set[Series]:
        """To be added to: series that samples came for."""
        return self._series.setdefault(origin, set())

    def of_rows(self, origin: str) -> set[Route]:
        """To be added to: routes that rows took."""
        return self._routes.setdefault(origin, set())

    def count(self, samples: int) -> None:
        """So many samples came in rows; series are cut now and then even if nobody looks."""
        self._of_rows += samples
        if self._of_rows > _MANY:
            self.settle()

    def settle(self) -> None:
        """Tell the readers of every series that samples came for."""
        if self._routes:
            self._take_routes()
        if not self._series:
            return
        for origin, arrived in self._series.items():
            readers = {series.readers for series in arrived}
            self._dirty |= readers
            for series in arrived:
                if origin is not None and origin != series.origin:
                    self._attribute(series, origin)
                for entry in series.readers.entries:
                    entry.note(series)
            for entry in {entry for each in readers for entry in each.entries}:
                entry.forget()
        self._series.clear()

    def note(self, series: Series) -> None:
        """Tell the readers of one series at once; it is not dirty for that."""
        for entry in series.readers.entries:
            entry.note(series)
            entry.forget()

    def soil(self, readers: Readers) -> None:
        """These readers' series changed."""
        self._dirty.add(readers)

    def remove(self, series: Series) -> None:
        """It is gone."""
        self._shared.pop(series, None)

    def leaves(self, series: Series, origin: str) -> bool:
        """Take an origin from a series; whether it was the only one."""
        origins = self._shared.get(series)
        if origins is None:
            return series.origin == origin
        origins.discard(origin)
        if len(origins) == 1:
            (series.origin,) = origins
            del self._shared[series]
        return False

    def origins(self, series: Series) -> set[str] | None:
        """Where it comes from when that is more than one."""
        return self._shared.get(series)

    def inherit(self, series: Series, origin: str | None, origins: set[str] | None) -> None:
        """A series has taken over the samples of one in another store."""
        series.origin = origin
        if origins is not None:
            self._shared[series] = origins
        self.of(None).add(series)

    def _take_routes(self) -> None:
        for origin, routes in self._routes.items():
            arrived = self.of(origin)
            arrived.update(*[route.series for route in routes])
            for series in arrived:
                if len(series.values) >= series.trim_at:
                    self._trim(series)
        self._routes.clear()
        self._of_rows = 0

    def _attribute(self, series: Series, origin: str) -> None:
        if series.origin is None:
            series.origin = origin
        else:
            self._shared.setdefault(series, {series.origin}).add(origin)
