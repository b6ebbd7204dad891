"""The baselines that rules and exit targets compare with: those of the sets in force, no others."""

from collections.abc import Callable, Iterable, Iterator

from rollbackd.model.events import KnownGood
from rollbackd.model.labels import METRIC_NAME, Labels, Scope, labels_of
from rollbackd.ports import Store
from rollbackd.triggers.engine import Engine


class Baselines:
    """Serves `baseline:<metric>:<statistic>` of each scope, as long as its set is in force.

    A set that is replaced or retired takes its series with it: what compares with them is unknown
    from then on, and not measured against pins that nobody would go back to.
    """

    def __init__(self, engine: Callable[[], Engine], store: Store) -> None:
        self._engine = engine
        self._store = store
        self._served: dict[Scope, KnownGood] = {}

    def in_force(self, scope: Scope) -> KnownGood | None:
        """The set whose baseline is served."""
        return self._served.get(scope)

    def all_in_force(self) -> list[KnownGood]:
        """Every set whose baseline is served."""
        return list(self._served.values())

    async def look(self, scope: Scope) -> None:
        """Serve what is in force in one scope now. Raises TemporaryError."""
        self._serve(scope, await self._store.known_good(scope))

    async def look_everywhere(self) -> None:
        """The same for every scope: another replica may have recorded. Raises TemporaryError."""
        sets = {each.scope: each for each in await self._store.all_known_good()}
        for scope in [*self._served.keys() - sets.keys(), *sets]:
            self._serve(scope, sets.get(scope))

    def _serve(self, scope: Scope, known_good: KnownGood | None) -> None:
        before = self._served.pop(scope, None)
        if known_good is not None:
            self._served[scope] = known_good
        engine = self._engine()
        fresh = dict(_series([known_good] if known_good is not None else []))
        old = dict(_series([before] if before is not None else []))
        for labels in old.keys() - fresh.keys():
            engine.unpin(labels)
        for labels, value in fresh.items():
            if old.get(labels) != value:
                engine.pin(labels, value)


def _series(sets: Iterable[KnownGood]) -> Iterator[tuple[Labels, float]]:
    for known_good in sets:
        scope = known_good.scope
        for metric, statistics in known_good.baseline.items():
            for statistic, value in statistics.items():
                name = f"baseline:{metric}:{statistic}"
                where = {METRIC_NAME: name, "service": scope.service, "region": scope.region}
                yield labels_of(where), value
