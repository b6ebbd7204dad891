"""What the HTTP API may ask of the daemon."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from rollbackd import __version__
from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.explaining import live_question
from rollbackd.app.intake import Intake
from rollbackd.clock import Clock
from rollbackd.incidents.runner import Runner
from rollbackd.model.controls import Control, ControlValue
from rollbackd.model.events import Alert, Batch
from rollbackd.model.explanations import RuleExplanation
from rollbackd.model.incidents import Incident
from rollbackd.model.labels import Scope
from rollbackd.ports import Controls, IncidentDetail, Pause, Store
from rollbackd.settings import ScopeLabels
from rollbackd.triggers.engine import Engine

DECISIONS = ("restore", "abort")


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
    reload_configuration: Callable[[], Awaitable[None]]
    report_path: Callable[[str], Path]

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
        pause = self.dispatcher.pause
        return {
            "version": __version__,
            "now_ms": self.clock.now(),
            "paused": msgspec.to_builtins(pause) if pause else None,
            "mode": self.dispatcher.tree.mode,
            "branches": list(self.dispatcher.tree.branches),
            "series": self.engine().series_count,
            "not_ready": self.why_not_ready(),
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

    async def reload(self) -> None:
        """Read rules and tree again. Raises DocumentError."""
        await self.reload_configuration()

    async def set_pause(self, pause: Pause | None) -> None:
        """Pause or resume; durable before it counts."""
        await self.store.set_pause(pause)
        self.dispatcher.pause = pause

    async def pull(self, branch: str, scope: Scope, *, reason: str, by: str) -> Incident:
        """Open an incident by hand."""
        return await self.dispatcher.pull(branch, scope, reason=reason, by=by)

    async def decide(self, incident_id: str, decision: str, *, by: str) -> Incident:
        """Pass a person's word on. Raises ValueError, KeyError."""
        if decision not in DECISIONS:
            raise ValueError(
                f"decision `{decision}` is not known; it must be one of {', '.join(DECISIONS)}"
            )
        incident = await self.store.incident(incident_id)
        if incident is None:
            raise KeyError(incident_id)
        if not await self.runner.decide(incident_id, decision, by=by):
            raise ValueError(f"incident `{incident_id}` has ended: {incident.state}")
        return incident

    async def incidents(self, *, open_only: bool, limit: int) -> list[Incident]:
        """Newest first."""
        return await self.store.incidents(open_only=open_only, limit=limit)

    async def incident(self, incident_id: str) -> IncidentDetail | None:
        """One incident with its journal."""
        incident = await self.store.incident(incident_id)
        if incident is None:
            return None
        journal = await self.store.journal(incident_id)
        path = self.report_path(incident_id)
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
        return await self.controls_store.set_intent(scope, name, value, now_ms=self.clock.now())

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
