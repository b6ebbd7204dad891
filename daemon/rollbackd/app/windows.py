"""The windows behind an incident's triggers, read from the live series."""

from collections.abc import Callable

from rollbackd.model.incidents import Incident, SeriesWindow
from rollbackd.model.labels import Labels
from rollbackd.settings import ScopeLabels
from rollbackd.triggers.engine import Engine


class LiveWindows:
    """Asks the engine that is in force for the series of the incident's own scope."""

    def __init__(self, engine: Callable[[], Engine], scope_labels: ScopeLabels) -> None:
        self._engine = engine
        self._scope_labels = scope_labels

    def read(self, incident: Incident, now_ms: int) -> tuple[list[SeriesWindow], int]:
        """See `ports.Windows`."""
        wanted = {
            self._scope_labels.service: incident.scope.service,
            self._scope_labels.region: incident.scope.region,
        }

        def keeps(labels: Labels) -> bool:
            # a series without such a label belongs to every scope, e.g. a baseline
            return all(wanted.get(name, value) == value for name, value in labels)

        return self._engine().windows(incident.triggers, now_ms, keeps)
