"""No system downstream lists what it holds: for drills, and for tests of everything else."""

from rollbackd.model.incidents import Incident
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import Reconciliation


class Unlisted:
    """Implements `ports.Reconciler`: compares nothing and says so."""

    def lists(self, scope: Scope) -> bool:  # noqa: ARG002
        """See `ports.Reconciler`."""
        return False

    async def reconcile(self, incident: Incident) -> Reconciliation:
        """See `ports.Reconciler`."""
        at_ms = incident.entered_at_ms
        return Reconciliation(at_ms=at_ms, from_ms=incident.opened_at_ms, to_ms=at_ms)
