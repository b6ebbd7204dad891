"""A runner on a real SQLite store and real controls, with a clock and targets that tests move."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from rollbackd.clock import ManualClock
from rollbackd.connections.sqlite import Database
from rollbackd.controls.sqlite import SQLiteControls
from rollbackd.evidence.audit import IncidentAuditor
from rollbackd.evidence.capture import EvidenceCapture
from rollbackd.evidence.pins import PinsTable
from rollbackd.evidence.report import FileReporter
from rollbackd.incidents.opening import new_incident
from rollbackd.incidents.runner import Runner, Surroundings
from rollbackd.levers import build_levers
from rollbackd.levers.lever_type import LeverDefinition
from rollbackd.model.controls import Control
from rollbackd.model.events import PinsSeen
from rollbackd.model.incidents import Confirmation, Incident, JournalRecord, SeriesWindow, State
from rollbackd.model.policy import BranchPolicy, FreezeProbe
from rollbackd.model.triggers import TargetReading, Verdict
from rollbackd.reconciliation.unlisted import Unlisted
from rollbackd.stores.sqlite import SQLiteStore
from rollbackd.telemetry import Telemetry
from tests.incidents.manual_time import until
from tests.incidents.samples import KNOWN_GOOD, SCOPE, bad_pins, policy_of, reading, trigger_of

#: What the rollout had set before it went wrong.
INTENTS: dict[str, dict[str, object]] = {
    "flag:canary": {"baseline_weight": 0.9, "canary_weight": 0.1, "global_off": False},
    "alias:docs_live": {"index": "docs_vB"},
    "pointer:live": {"target": "green"},
    "writes": {"blocked": False, "scope": "none", "retry_after_seconds": 0},
    "throttle": {"requests_per_second": 500, "burst": 900, "breaker": "closed"},
    "degrade": {"level": 0},
    "cache": {"generation": 3, "namespace": "old"},
}


class ScriptedTargets:
    """Says one verdict a reading, then the last for ever."""

    def __init__(self) -> None:
        self.verdicts = [Verdict.GREEN]

    def read(self, incident: Incident, now_ms: int) -> list[TargetReading]:  # noqa: ARG002
        verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        return [reading(verdict)]


class ScriptedProbes:
    """Says of the freeze what a test wants, round by round, then the last for ever."""

    def __init__(self) -> None:
        self.rounds: list[bool] = [True]
        self.asked: list[FreezeProbe] = []

    async def confirm(self, incident: Incident, probe: FreezeProbe) -> Confirmation:  # noqa: ARG002
        self.asked.append(probe)
        confirmed = self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0]
        return Confirmation(probe=probe.kind, confirmed=confirmed)


class ScriptedWindows:
    """The trigger read one series."""

    def read(self, incident: Incident, now_ms: int) -> tuple[list[SeriesWindow], int]:  # noqa: ARG002
        window = SeriesWindow(metric="x", labels={}, samples=[(now_ms, 0.5)], count=1)
        return [window], 0


class Pages:
    """Remembers who was asked for."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    async def page(self, incident: Incident, reason: str) -> None:  # noqa: ARG002
        self.reasons.append(str(reason))

    def decided(self, incident: Incident, record: JournalRecord) -> None:
        """The journal is read where it is."""


class Between:
    """Stands before an adapter; `before` and `after` of a method may raise or hang."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.before: dict[str, Callable[..., Any]] = {}
        self.after: dict[str, Callable[..., Any]] = {}
        #: Calls that the adapter itself was given, and those that it has answered.
        self.given = self.answered = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            if name in self.before:
                await self.before[name](*args)
            self.given += 1
            try:
                result = await method(*args, **kwargs)
            finally:
                self.answered += 1
            if name in self.after:
                await self.after[name](*args)
            return result

        return call


class World:
    """One scope with its store and controls; runners come and go."""

    def __init__(self, store: SQLiteStore, controls: SQLiteControls, folder: Path) -> None:
        self.store = Between(store)
        self.controls = Between(controls)
        self.folder = folder
        self.clock = ManualClock()
        self.targets = ScriptedTargets()
        self.probes = ScriptedProbes()
        self.pages = Pages()
        self.telemetry = Telemetry(CollectorRegistry())
        self.branch = "quality_regression"
        self.definitions: dict[str, LeverDefinition] = {}
        self.runner = self.new_runner()

    @classmethod
    async def open(cls, folder: Path) -> Self:
        path = folder / "rollbackd.db"
        world = cls(
            await SQLiteStore.open(await Database.open(path)),
            await SQLiteControls.open(await Database.open(folder / "controls.db")),
            folder,
        )
        await world.store.put_known_good(KNOWN_GOOD)
        for name, value in INTENTS.items():
            await world.controls.set_intent(SCOPE, name, value, now_ms=1)
        return world

    async def close(self) -> None:
        await self.runner.stop()
        await self.store.close()
        await self.controls.close()

    def new_runner(self) -> Runner:
        """A runner as a fresh process would have it."""
        pins = self._pins = PinsTable(self.telemetry)
        self._note_pins(time_ms=1)
        store: Any = self.store
        controls: Any = self.controls
        levers = build_levers(controls, self.clock, self.definitions)
        self.runner = Runner(
            Surroundings(
                store=store,
                levers=levers,
                capture=EvidenceCapture(
                    store=store,
                    controls=controls,
                    targets=self.targets,
                    windows=ScriptedWindows(),
                    pins=pins,
                    clock=self.clock,
                ),
                probes=self.probes,
                targets=self.targets,
                auditor=IncidentAuditor(levers, store, controls, pins),
                reconciler=Unlisted(),
                reporter=FileReporter(self.folder / "incidents", controls=controls, pins=pins),
                notifier=self.pages,
                clock=self.clock,
                telemetry=self.telemetry,
            )
        )
        return self.runner

    async def open_incident(self, branch: str, policy: BranchPolicy | None = None) -> Incident:
        """Store a new incident and drive it."""
        self.branch = branch
        self._note_pins(time_ms=2)
        incident, record = new_incident(
            incident_id="INC-1",
            scope=SCOPE,
            policy=policy or quick(branch),
            epoch=await self.store.next_epoch(SCOPE),
            now_ms=self.clock.now(),
            trigger=trigger_of(branch),
        )
        await self.store.open_incident(incident, record)
        self.runner.start(incident)
        return incident

    def _note_pins(self, *, time_ms: int) -> None:
        bad = bad_pins(self.branch)
        self._pins.note(PinsSeen(scope=SCOPE, arm="canary", pins=bad, time_ms=time_ms))

    async def restart(self) -> None:
        """Another process takes over what the journal holds."""
        await self.runner.stop()
        self.new_runner()
        for incident in await self.store.incidents(open_only=True):
            await self.runner.resume(incident)

    async def until(self, done: Callable[[], bool]) -> None:
        await until(
            self.clock,
            done,
            lambda: (
                self.store.given + self.controls.given,
                self.store.answered + self.controls.answered,
            ),
        )

    async def until_state(self, *states: State) -> Incident:
        """Let time pass until the driven incident is in one of the states."""
        await self.until(lambda: any(i.state in states for i in self.runner.current()))
        return self.runner.current()[0]

    async def until_idle(self) -> Incident:
        """Let time pass until nothing is driven any more."""
        await self.until(lambda: not self.runner._tasks)
        return await self.stored()

    async def stored(self) -> Incident:
        incident: Incident | None = await self.store.incident("INC-1")
        assert incident is not None
        return incident

    async def journal(self) -> Sequence[JournalRecord]:
        journal: Sequence[JournalRecord] = await self.store.journal("INC-1")
        return journal

    async def read_all(self) -> dict[str, Control]:
        controls: dict[str, Control] = await self.controls.read_all(SCOPE)
        return controls

    async def effective(self) -> dict[str, dict[str, object]]:
        return {name: control.effective for name, control in (await self.read_all()).items()}

    async def versions(self) -> dict[str, int]:
        return {name: control.version for name, control in (await self.read_all()).items()}

    def gauge(self, name: str, **labels: str) -> float | None:
        return self.telemetry.registry.get_sample_value(f"rollbackd_{name}", labels)


def quick(branch: str, **changes: Any) -> BranchPolicy:
    """A shipped branch with a hold of a few readings."""
    return replace(policy_of(branch, hold_ms=10_000), **changes)


def probed(policy: BranchPolicy) -> BranchPolicy:
    """The branch with a probe that has to confirm its freeze."""
    if policy.freeze is None:
        return policy
    return replace(policy, freeze=replace(policy.freeze, confirm=[FreezeProbe(kind="write")]))


async def never(*_: Any) -> None:
    """Hangs until it is cancelled."""
    await asyncio.Event().wait()
