"""Known good sets on a real store, real controls and a real engine, with a clock by hand."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from rollbackd.app.configuration import build_engine
from rollbackd.app.intake import Intake
from rollbackd.app.pinning.baselines import Baselines
from rollbackd.app.pinning.building import build_known_good
from rollbackd.app.pinning.sightings import ForeignBaseline
from rollbackd.app.targets import LiveTargets
from rollbackd.clock import ManualClock
from rollbackd.connections.sqlite import Database
from rollbackd.controls.sqlite import SQLiteControls
from rollbackd.evidence.pins import PinsTable
from rollbackd.model.events import Batch, KnownGood, PinsSeen, Sample
from rollbackd.model.labels import METRIC_NAME, Scope, labels_of
from rollbackd.model.levers import Observation, Target
from rollbackd.model.pins import REQUIRED_PINS
from rollbackd.model.policy import BranchPolicy, DecisionTree, ExitTarget, LeverCall
from rollbackd.ports import LeverTable
from rollbackd.settings import AutoPinSettings, PinSettings, ScopeLabels, Settings
from rollbackd.stores.sqlite import SQLiteStore
from rollbackd.telemetry import Telemetry

SCOPE = Scope("rag", "eu")
NOW = 1_790_000_000_000
GOOD = {name: f"{name.lower()}-1" for name in REQUIRED_PINS}
ERRORS = ExitTarget(name="errors", value="max by (service, region) (error_ratio)", below=0.005)
DRIFT = ExitTarget(
    name="drift",
    value="max by (service, region) (quantile_over_time(0.95, delta_s[5m])"
    " - on (service, region) group_left baseline:delta_s:p95)",
    below=0.1,
)
BRANCH = BranchPolicy(branch="b", priority=0, exit_targets=[ERRORS, DRIFT], cooldown_ms=600_000)


class ListedLever:
    """Stands for a lever on another system: what stands at its target, or why nobody can say."""

    def __init__(self, standing: Observation | Exception) -> None:
        self.standing = standing

    async def observe(self, target: Target) -> Observation:  # noqa: ARG002  # it has one
        if isinstance(self.standing, Exception):
            raise self.standing
        return self.standing


class Office:
    """Everything that deals with known good sets, wired as the daemon wires it."""

    def __init__(
        self, store: SQLiteStore, controls: SQLiteControls, auto: AutoPinSettings | None
    ) -> None:
        self.store, self.controls = store, controls
        self.clock = ManualClock(NOW)
        self.telemetry = Telemetry(CollectorRegistry())
        self.pins = PinsTable(self.telemetry)
        self.tree = DecisionTree(branches={"b": BRANCH})
        self.levers: dict[str, ListedLever] = {}
        self.heard: list[KnownGood] = []
        self.paused = False
        self.settings = PinSettings(min_samples=10, auto=auto)
        self.engine = build_engine([], self.tree, Settings(pins=self.settings))
        self.baselines = Baselines(lambda: self.engine, store)
        foreign = ForeignBaseline(self.baselines, self.pins)
        self.targets = LiveTargets(lambda: self.engine, ScopeLabels(), foreign)
        self.intake = Intake(
            engine=lambda: self.engine,
            store=store,
            pins=self.pins,
            clock=self.clock,
            telemetry=self.telemetry,
            baselines=self.baselines,
        )
        parts = build_known_good(
            lambda: self.settings,
            ScopeLabels(),
            store=store,
            controls=controls,
            pins=self.pins,
            baselines=self.baselines,
            targets=self.targets,
            engine=lambda: self.engine,
            tree=lambda: self.tree,
            levers=self._levers,
            paused=lambda: self.paused,
            hears=self.heard.append,
            clock=self.clock,
            telemetry=self.telemetry,
        )
        self.desk, self.keeper = parts.desk, parts.keeper

    @classmethod
    async def open(cls, folder: Path, auto: AutoPinSettings | None = None) -> "Office":
        database = await Database.open(folder / "rollbackd.db")
        return cls(await SQLiteStore.open(database), await SQLiteControls.open(database), auto)

    async def close(self) -> None:
        await self.store.close()
        await self.controls.close()

    def add_lever(self, name: str, standing: Observation | Exception) -> None:
        """A lever on another system that the tree's branch may pull."""
        self.levers[name] = ListedLever(standing)
        calls = [*self.tree.branches["b"].levers, LeverCall(lever=name, name="live")]
        branch = msgspec.structs.replace(BRANCH, levers=calls)
        self.tree = DecisionTree(branches={"b": branch})

    async def serve(
        self,
        count: int,
        *,
        arm: str = "baseline",
        pins: Mapping[str, str] = GOOD,
        delta_s: float = 0.3,
        errors: int = 0,
        scope: Scope = SCOPE,
    ) -> None:
        """So many answers now, one of them after the other a millisecond apart."""
        now_ms = self.clock.now()
        where = {"service": scope.service, "region": scope.region}
        samples = [Sample(labels_of({METRIC_NAME: "error_ratio", **where}), 0.0, now_ms)]
        for n in range(count):
            values = {"delta_s": delta_s + 0.001 * n, "latency_seconds": 1.0}
            code = {"code": "500" if n < errors else "200"}
            samples += [
                Sample(labels_of({METRIC_NAME: name, "arm": arm, **where}), value, now_ms - n)
                for name, value in values.items()
            ]
            labels = {METRIC_NAME: "requests", "arm": arm, **where, **code}
            samples.append(Sample(labels_of(labels), 1.0, now_ms - n))
        seen = [PinsSeen(scope=scope, arm=arm, pins=dict(pins), time_ms=now_ms)] if pins else []
        await self.intake.ingest(Batch(samples=samples, pins=seen), source="test")

    def _levers(self) -> LeverTable:
        return self.levers  # type: ignore[return-value]  # nothing but observing is asked for
