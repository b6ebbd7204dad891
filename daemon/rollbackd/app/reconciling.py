"""Comparing receipts when a person asks, and what they accept of it."""

from collections.abc import Sequence

from rollbackd.clock import Clock
from rollbackd.incidents.reconciling import objection
from rollbackd.incidents.runner import Runner
from rollbackd.model.incidents import Incident
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import Reconciliation
from rollbackd.ports import Store
from rollbackd.reconciliation.reconciler import LedgerReconciler


class Reconciling:
    """Answers for the receipts of one daemon; looking changes nothing."""

    def __init__(
        self, store: Store, runner: Runner, reconciler: LedgerReconciler, clock: Clock
    ) -> None:
        self._store = store
        self._runner = runner
        self._reconciler = reconciler
        self._clock = clock

    async def of_incident(self, incident_id: str) -> Reconciliation:
        """The receipts of an incident as they stand now, fresh ones unjudged. Raises KeyError."""
        incident = await self._incident(incident_id)
        return await self._reconciler.reconcile(incident, patient=False)

    async def of_scope(self, scope: Scope, from_ms: int, to_ms: int | None) -> Reconciliation:
        """The receipts of a time, up to now without an end. Raises ValueError."""
        to_ms = self._clock.now() if to_ms is None else to_ms
        if from_ms > to_ms:
            raise ValueError("`from` lies behind `to`")
        return await self._reconciler.compare(scope, from_ms, to_ms, patient=False)

    async def accept(
        self, incident_id: str, keys: Sequence[str], *, by: str, because: str
    ) -> Incident:
        """Take open items as they are; no keys are all that are named. Raises KeyError, ValueError.

        What counts is what the incident was told last, and only as long as just that is found.
        """
        incident = await self._incident(incident_id)
        if not incident.is_open:
            raise ValueError(f"incident `{incident_id}` has ended: {incident.state}")
        found = incident.reconciliation
        named = list(keys) or [i.key for i in (found.items if found else []) if i.is_open]
        if because_not := objection(incident, named):
            raise ValueError(because_not)
        if not await self._runner.accept(incident_id, named, by=by, because=because):
            raise ValueError(f"incident `{incident_id}` is not driven by this process")
        return await self._incident(incident_id)

    async def _incident(self, incident_id: str) -> Incident:
        incident = await self._store.incident(incident_id)
        if incident is None:
            raise KeyError(incident_id)
        return incident
