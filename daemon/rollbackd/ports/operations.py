"""What the HTTP API may ask of the daemon."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from rollbackd.model.controls import Control, ControlValue
from rollbackd.model.events import Alert, Batch
from rollbackd.model.explanations import RuleExplanation
from rollbackd.model.history import Latch
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import Reconciliation
from rollbackd.ports.store import Pause


class IncidentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One incident with its journal and where its report is."""

    incident: Incident
    journal: list[JournalRecord]
    report_path: str = ""


class Operations(Protocol):
    """What the HTTP API may ask of the daemon. TemporaryError becomes 503 everywhere."""

    async def accept_alerts(self, alerts: Sequence[Alert]) -> int:
        """Commit alerts to the inbox; returns how many were new. Durable on return."""
        ...

    async def ingest(self, batch: Batch, *, source: str) -> None:
        """As Sink.ingest."""
        ...

    async def bury(self, source: str, body: bytes, reason: str) -> None:
        """As Sink.bury."""
        ...

    def status(self) -> dict[str, object]:
        """Version, clock, pause, sources, rules and open incidents, as JSON."""
        ...

    def not_ready(self) -> list[str]:
        """Why the daemon cannot do its work now; empty when it can."""
        ...

    async def reload(self) -> list[str]:
        """Read the configuration again, all or nothing; the keys that wait for a restart.

        Raises DocumentError, ValueError.
        """
        ...

    async def set_pause(self, pause: Pause | None) -> None:
        """Pause with a reason, or resume. Raises ValueError when a local file pauses on."""
        ...

    async def unlatch(self, scope: Scope, *, by: str) -> list[Latch]:
        """Reset the latches of a scope; those that were. Raises KeyError when none holds."""
        ...

    async def pull(
        self, branch: str, scope: Scope, *, reason: str, by: str, regions: Sequence[str] = ()
    ) -> Incident:
        """Open an incident by hand; further regions of the service follow one after another.

        Raises ValueError for an unknown branch, ScopeBusyError.
        """
        ...

    async def decide(self, incident_id: str, decision: str, *, by: str) -> Incident:
        """A person's word on an incident: `incidents.messages.Decision`, or `acknowledge`.

        Raises ValueError with the way out when it does not fit the incident, KeyError.
        """
        ...

    async def reconciliation(self, incident_id: str) -> Reconciliation:
        """The receipts of an incident compared once, as they stand now. Raises KeyError."""
        ...

    async def compare_receipts(
        self, scope: Scope, from_ms: int, to_ms: int | None
    ) -> Reconciliation:
        """The receipts of a time compared once; None is up to now. Raises ValueError."""
        ...

    async def accept_items(
        self, incident_id: str, keys: Sequence[str], *, by: str, because: str
    ) -> Incident:
        """Accept open items of what an incident was told last; no keys are all that are named.

        Raises KeyError, ValueError with the way out when one of them is no open item.
        """
        ...

    async def close(
        self, incident_id: str, *, cause: str, summary: str, owner: str, link: str, by: str
    ) -> Incident:
        """File the root cause of an incident that has ended.

        Raises KeyError, and ValueError while a field is empty or the evidence is not whole.
        """
        ...

    async def report(self, incident_id: str) -> bytes | None:
        """The post-mortem as an HTML page; None when it is not here."""
        ...

    async def incidents(self, *, open_only: bool, limit: int) -> list[Incident]:
        """Newest first, without the recorded windows and the trace."""
        ...

    async def incident(self, incident_id: str) -> IncidentDetail | None:
        """One incident by id."""
        ...

    async def controls(self, scope: Scope) -> dict[str, Control]:
        """Every control of a scope."""
        ...

    async def set_intent(self, scope: Scope, name: str, value: ControlValue) -> Control:
        """Write the rollout's own intent. Raises ValueError for a bad name or value."""
        ...

    async def release(self, scope: Scope, name: str, *, because: str, by: str) -> Control:
        """Take away the trip that a closed incident left on a control.

        Raises ValueError when there is none, ScopeBusyError while an incident is open.
        """
        ...

    def explain(
        self, rule: str, *, scope: Scope | None, at: str, limit: int
    ) -> list[RuleExplanation]:
        """Why the rules of this name fire or do not; `at` is RFC 3339, Unix seconds or empty.

        Raises ValueError for an unknown rule, with the nearest name, and for a bad time.
        """
        ...

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """The instant vector of a PromQL expression now. Raises ValueError."""
        ...
