"""What the HTTP API may ask of the daemon."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from rollbackd import __version__
from rollbackd.app.closing import Closing
from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.explaining import live_question
from rollbackd.app.guard_board import GuardBoard
from rollbackd.app.intake import Intake
from rollbackd.app.reconciling import Reconciling
from rollbackd.app.releasing import Releasing
from rollbackd.clock import Clock
from rollbackd.controls.values import checked_name
from rollbackd.evidence.report import FileReporter
from rollbackd.incidents.deciding import objection
from rollbackd.incidents.runner import Runner
from rollbackd.model.control_shapes import check_growth, check_shape
from rollbackd.model.controls import Control, ControlValue, Kind
from rollbackd.model.events import Alert, Batch
from rollbackd.model.explanations import RuleExplanation
from rollbackd.model.history import Latch
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import Reconciliation
from rollbackd.ports import Controls, IncidentDetail, Pause, Store
from rollbackd.settings import ScopeLabels
from rollbackd.triggers.engine import Engine

#: Said of an incident that has ended: a person takes over the measures that it left in force.
ACKNOWLEDGE: Final = "acknowledge"


class DaemonOperations(msgspec.Struct, frozen=True, kw_only=True):
    """Passes each request on to the part that answers for it."""

    intake: Intake
    dispatcher: Dispatcher
    runner: Runner
    store: Store
    controls_store: Controls
    clock: Clock
    scope_labels: ScopeLabels
    engine: Callable[[], Engine]
    why_not_ready: Callable[[], list[str]]
    reload_configuration: Callable[[], Awaitable[list[str]]]
    reporter: FileReporter
    guard_board: GuardBoard
    reconciling: Reconciling
    #: Hears of a record that a person's word put into the journal.
    decided: Callable[[Incident, JournalRecord], None]

    async def accept_alerts(self, alerts: Sequence[Alert]) -> int:
        """Commit alerts to the inbox."""
        return await self.intake.accept_alerts(alerts)

    async def ingest(self, batch: Batch, *, source: str) -> None:
        """Take a batch of events."""
        await self.intake.ingest(batch, source=source)

    async def bury(self, source: str, body: bytes, reason: str) -> None:
        """Keep an input that could not be used."""
        await self.intake.bury(source, body, reason)

    def status(self) -> dict[str, object]:
        """The daemon in a few lines."""
        pause = self.dispatcher.pause_in_force
        return {
            "version": __version__,
            "now_ms": self.clock.now(),
            "paused": msgspec.to_builtins(pause) if pause else None,
            "mode": self.dispatcher.tree.mode,
            "branches": list(self.dispatcher.tree.branches),
            "series": self.engine().series_count,
            "not_ready": self.why_not_ready(),
            "guardrails": self.guard_board.standing(),
            "open_incidents": [
                {
                    "id": incident.id,
                    "scope": str(incident.scope),
                    "branch": incident.branch,
                    "state": incident.state,
                    "reason": incident.reason,
                }
                for incident in self.runner.current()
            ],
        }

    def not_ready(self) -> list[str]:
        """Why the daemon cannot do its work now."""
        return self.why_not_ready()

    async def reload(self) -> list[str]:
        """Read the configuration again. Raises DocumentError, ValueError."""
        return await self.reload_configuration()

    async def set_pause(self, pause: Pause | None) -> None:
        """Pause or resume; durable before it counts.

        Raises ValueError when the daemon stays paused by its local file.
        """
        await self.store.set_pause(pause)
        self.dispatcher.pause = pause
        still = self.dispatcher.pause_in_force
        if pause is None and still is not None:
            raise ValueError(
                f"still paused by {still.by} ({still.reason}); remove it, or use"
                " `rollbackd resume --local` on that machine"
            )

    async def unlatch(self, scope: Scope, *, by: str) -> list[Latch]:
        """Reset the latches of a scope. Raises KeyError, TemporaryError."""
        released = await self.dispatcher.latching.release(scope, by=by)
        await self.guard_board.look()
        return released

    async def pull(
        self, branch: str, scope: Scope, *, reason: str, by: str, regions: Sequence[str] = ()
    ) -> Incident:
        """Open an incident by hand."""
        return await self.dispatcher.pull(branch, scope, reason=reason, by=by, regions=regions)

    async def decide(self, incident_id: str, decision: str, *, by: str) -> Incident:
        """Pass a person's word on. Raises ValueError, KeyError."""
        incident = await self.store.incident(incident_id)
        if incident is None:
            raise KeyError(incident_id)
        if decision == ACKNOWLEDGE:
            return await self.runner.left.acknowledge(incident_id, by=by)
        if not incident.is_open:
            raise ValueError(f"incident `{incident_id}` has ended: {incident.state}")
        if because := objection(incident, decision):
            raise ValueError(because)
        if not await self.runner.decide(incident_id, decision, by=by):
            raise ValueError(f"incident `{incident_id}` is not driven by this process")
        return incident

    async def reconciliation(self, incident_id: str) -> Reconciliation:
        """The receipts of an incident as they stand now. Raises KeyError."""
        return await self.reconciling.of_incident(incident_id)

    async def compare_receipts(
        self, scope: Scope, from_ms: int, to_ms: int | None
    ) -> Reconciliation:
        """The receipts of a time. Raises ValueError."""
        return await self.reconciling.of_scope(scope, from_ms, to_ms)

    async def accept_items(
        self, incident_id: str, keys: Sequence[str], *, by: str, because: str
    ) -> Incident:
        """Accept open items of a reconciliation. Raises KeyError, ValueError."""
        return await self.reconciling.accept(incident_id, keys, by=by, because=because)

    async def close(
        self, incident_id: str, *, cause: str, summary: str, owner: str, link: str, by: str
    ) -> Incident:
        """File the root cause of an incident that has ended. Raises KeyError, ValueError."""
        closing = Closing(self.store, self.reporter, self.clock, self.decided)
        return await closing.close(
            incident_id, cause=cause, summary=summary, owner=owner, link=link, by=by
        )

    async def report(self, incident_id: str) -> bytes | None:
        """The post-mortem as a page."""
        return await self.reporter.page(incident_id)

    async def incidents(self, *, open_only: bool, limit: int) -> list[Incident]:
        """Newest first, without what is long."""
        found = await self.store.incidents(open_only=open_only, limit=limit)
        return [_briefly(incident) for incident in found]

    async def incident(self, incident_id: str) -> IncidentDetail | None:
        """One incident with its journal."""
        incident = await self.store.incident(incident_id)
        if incident is None:
            return None
        journal = await self.store.journal(incident_id)
        path = self.reporter.path_of(incident_id)
        return IncidentDetail(
            incident=incident,
            journal=journal,
            report_path=str(path) if path.exists() else "",
        )

    async def controls(self, scope: Scope) -> dict[str, Control]:
        """Every control of a scope."""
        return await self.controls_store.read_all(scope)

    async def set_intent(self, scope: Scope, name: str, value: ControlValue) -> Control:
        """Write the rollout's own intent. Raises ValueError for a bad name or value."""
        check_shape(checked_name(name), value)
        if name == Kind.CACHE:
            stands = (await self.controls_store.read(scope, name)).effective
            check_growth(stands, value)
        return await self.controls_store.set_intent(scope, name, value, now_ms=self.clock.now())

    async def release(self, scope: Scope, name: str, *, because: str, by: str) -> Control:
        """Take away the trip that a closed incident left. Raises ValueError, ScopeBusyError."""
        releasing = Releasing(self.store, self.controls_store, self.clock, self.decided)
        return await releasing.release(scope, name, because=because, by=by)

    def explain(
        self, rule: str, *, scope: Scope | None, at: str, limit: int
    ) -> list[RuleExplanation]:
        """Why a rule fires or does not. Raises ValueError."""
        question = live_question(
            at,
            now_ms=self.clock.now(),
            scope=scope,
            scope_labels=self.scope_labels,
            fate_of=self.dispatcher.fate_of,
            limit=limit,
        )
        return self.engine().explain(rule, question)

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """The instant vector of an expression now. Raises ValueError."""
        engine = self.engine()
        vector = engine.query(engine.compile(expr), self.clock.now())
        return [(dict(labels), value) for labels, value in vector]


def _briefly(incident: Incident) -> Incident:
    """Without the recorded windows and the trace, which make a list of incidents megabytes."""
    evidence = incident.evidence
    if evidence is not None:
        evidence = msgspec.structs.replace(evidence, windows=[])
    return msgspec.structs.replace(incident, evidence=evidence, trace=[])
