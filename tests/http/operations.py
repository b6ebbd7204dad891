"""A daemon that records what the HTTP API asks of it, and fails or hangs on request."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from rollbackd.model.controls import Control, ControlValue, kind_of
from rollbackd.model.decisions import Reason
from rollbackd.model.events import Alert, Batch
from rollbackd.model.explanations import ExplainedNode, RuleExplanation
from rollbackd.model.history import Latch
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.labels import Scope
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.reconciliation import Reconciliation
from rollbackd.ports import IncidentDetail, Pause
from rollbackd.triggers.explaining import UnknownRuleError


def incident(incident_id: str = "inc-1", *, scope: Scope | None = None, by: str = "") -> Incident:
    return Incident(
        id=incident_id,
        scope=scope or Scope("rag", "eu-1"),
        branch="quality_regression",
        state=State.DETECTED,
        reason=Reason.PULLED_BY_OPERATOR,
        version=1,
        epoch=7,
        policy=BranchPolicy(branch="quality_regression", priority=2),
        opened_at_ms=1_700_000_000_000,
        entered_at_ms=1_700_000_000_000,
        pulled_by=by,
    )


def compared(from_ms: int) -> Reconciliation:
    return Reconciliation(at_ms=from_ms, from_ms=from_ms, to_ms=from_ms, listing="payments")


def latch(scope: Scope) -> Latch:
    return Latch(
        scope=scope,
        branch="quality_regression",
        reason=Reason.FLAP_LATCH,
        since_ms=1_700_000_000_000,
        because="pulled 3 times",
        released_at_ms=1_700_000_001_000,
        released_by="eve",
    )


class FakeOperations:
    """`calls` is what was asked; `failure` is raised by every call; `hang` never answers."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.failure: Exception | None = None
        self.hang = False
        self.reasons: list[str] = []
        self.known: dict[str, Incident] = {"inc-1": incident()}
        self.switches: dict[str, Control] = {}

    async def _asked(self, *call: Any) -> None:
        self.calls.append(call)
        if self.hang:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure

    async def accept_alerts(self, alerts: Sequence[Alert]) -> int:
        await self._asked("accept_alerts", list(alerts))
        return len(alerts)

    async def ingest(self, batch: Batch, *, source: str) -> None:
        await self._asked("ingest", batch, source)

    async def bury(self, source: str, body: bytes, reason: str) -> None:
        await self._asked("bury", source, body, reason)

    def status(self) -> dict[str, object]:
        return {"version": "0.1.0", "paused": False}

    def not_ready(self) -> list[str]:
        return self.reasons

    async def reload(self) -> list[str]:
        await self._asked("reload")
        return ["scoring"]

    async def set_pause(self, pause: Pause | None) -> None:
        await self._asked("set_pause", pause)

    async def unlatch(self, scope: Scope, *, by: str) -> list[Latch]:
        await self._asked("unlatch", scope, by)
        return [latch(scope)]

    async def pull(
        self, branch: str, scope: Scope, *, reason: str, by: str, regions: Sequence[str] = ()
    ) -> Incident:
        await self._asked("pull", branch, scope, reason, by, *regions)
        return incident("inc-2", scope=scope, by=by)

    async def decide(self, incident_id: str, decision: str, *, by: str) -> Incident:
        await self._asked("decide", incident_id, decision, by)
        return self.known[incident_id]

    async def reconciliation(self, incident_id: str) -> Reconciliation:
        await self._asked("reconciliation", incident_id)
        return compared(self.known[incident_id].opened_at_ms)

    async def compare_receipts(
        self, scope: Scope, from_ms: int, to_ms: int | None
    ) -> Reconciliation:
        await self._asked("compare_receipts", scope, from_ms, to_ms)
        return compared(from_ms)

    async def accept_items(
        self, incident_id: str, keys: Sequence[str], *, by: str, because: str
    ) -> Incident:
        await self._asked("accept_items", incident_id, list(keys), by, because)
        return replace(self.known[incident_id], reconciliation=compared(1))

    async def close(self, incident_id: str, **filed: str) -> Incident:
        await self._asked("close", incident_id, filed)
        return self.known[incident_id]

    async def report(self, incident_id: str) -> bytes | None:
        await self._asked("report", incident_id)
        return b"<!doctype html>" if incident_id in self.known else None

    async def incidents(self, *, open_only: bool, limit: int) -> list[Incident]:
        await self._asked("incidents", open_only, limit)
        return list(self.known.values())

    async def incident(self, incident_id: str) -> IncidentDetail | None:
        await self._asked("incident", incident_id)
        found = self.known.get(incident_id)
        if found is None:
            return None
        record = JournalRecord(
            incident_id=incident_id,
            sequence=1,
            at_ms=found.opened_at_ms,
            kind="Pulled",
            from_state=None,
            to_state=State.DETECTED,
            reason=Reason.PULLED_BY_OPERATOR,
        )
        return IncidentDetail(incident=found, journal=[record], report_path="/reports/inc-1.md")

    async def controls(self, scope: Scope) -> dict[str, Control]:
        await self._asked("controls", scope)
        return self.switches

    def last_known(self, scope: Scope) -> dict[str, Control]:
        self.calls.append(("last_known", scope))
        return self.switches

    async def set_intent(self, scope: Scope, name: str, value: ControlValue) -> Control:
        await self._asked("set_intent", scope, name, value)
        kind_of(name)
        return Control(name=name, intent=value, version=3)

    async def release(self, scope: Scope, name: str, *, because: str, by: str) -> Control:
        await self._asked("release", scope, name, because, by)
        return Control(name=name, intent={"index": "docs_vB"}, version=4)

    def explain(
        self, rule: str, *, scope: Scope | None, at: str, limit: int
    ) -> list[RuleExplanation]:
        self.calls.append(("explain", rule, scope, at, limit))
        if rule == "Unknown":
            raise UnknownRuleError("no rule is called `Unknown`; did you mean `Known`?")
        tree = ExplainedNode(gist="x", text="x", kind="vector")
        return [
            RuleExplanation(
                rule=rule,
                group="g",
                kind="alert",
                expr="x",
                at_ms=1,
                because=["no elements: `x` has no series"],
                tree=tree,
            )
        ]

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        self.calls.append(("query", expr))
        if expr == "up{":
            raise ValueError("1:4: unexpected end of input")
        return [({"arm": "canary"}, 0.25), ({}, math.nan), ({}, math.inf), ({}, -math.inf)]

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]
