"""One recording, the same verdicts: rule tests, the live path, backtest."""

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from rollbackd.app.backtest.findings import Findings
from rollbackd.app.backtest.recording import Entry, Faults, FileRecording, merged
from rollbackd.app.configuration import Configuration, load
from rollbackd.app.dispatch import Dispatcher
from rollbackd.app.evaluation import EvaluationLoop
from rollbackd.app.intake import Intake
from rollbackd.app.targets import LiveTargets
from rollbackd.app.windows import LiveWindows
from rollbackd.clock import ManualClock
from rollbackd.connections.sqlite import Database
from rollbackd.controls.sqlite import SQLiteControls
from rollbackd.evidence.audit import IncidentAuditor
from rollbackd.evidence.capture import EvidenceCapture
from rollbackd.evidence.pins import PinsTable
from rollbackd.evidence.report import FileReporter
from rollbackd.incidents.runner import Runner, Surroundings
from rollbackd.levers import build_levers
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.labels import format_labels
from rollbackd.probes import Probes
from rollbackd.reconciliation.unlisted import Unlisted
from rollbackd.rulefmt.test_files import read_test_file
from rollbackd.settings import Settings, default_settings
from rollbackd.stores.sqlite import SQLiteStore
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Evaluation
from rollbackd.triggers.unit_tests import run_test_file
from tests.app.backtest.playing import (
    NOW_MS,
    START,
    event,
    played,
    played_files,
    settings_of,
    write,
)
from tests.app.backtest.recordings import MINUTE, RAG, START_MS, hour
from tests.app.backtest.recordings import write as write_lines
from tests.incidents.manual_time import until

L = TypeVar("L", bound="Live")
#: (time, rule, state, labels).
Verdict = tuple[int, str, str, str]

_ACTING = {State.DETECTED, State.CAPTURING, State.FREEZING, State.CHOOSING,
                 State.FLIPPING, State.ROTATING, State.THROTTLING}  # fmt: skip


class Live:
    """The daemon's own parts on a real store, fed and turned as the daemon does it."""

    def __init__(
        self, configuration: Configuration, chosen: Settings, store: SQLiteStore,
        controls: SQLiteControls, folder: Path,
    ) -> None:  # fmt: skip
        self.verdicts: list[Verdict] = []
        self.clock = ManualClock(START_MS)
        self.engine = configuration.engine
        self.store = store
        telemetry = Telemetry(CollectorRegistry())
        pins = PinsTable(telemetry)
        targets = LiveTargets(lambda: self.engine, chosen.scope_labels)
        levers = build_levers(controls, self.clock)
        self.runner = Runner(
            Surroundings(
                store=store,
                levers=levers,
                capture=EvidenceCapture(
                    store=store,
                    controls=controls,
                    targets=targets,
                    windows=LiveWindows(lambda: self.engine, chosen.scope_labels),
                    pins=pins,
                    clock=self.clock,
                ),
                probes=Probes(kafka=None),
                targets=targets,
                auditor=IncidentAuditor(levers, store, controls, pins),
                reconciler=Unlisted(),
                reporter=FileReporter(folder, controls=controls, pins=pins),
                notifier=Nobody(),
                clock=self.clock,
                telemetry=telemetry,
            )
        )
        self.intake = Intake(
            engine=lambda: self.engine, store=store, pins=pins, clock=self.clock,
            telemetry=telemetry,
        )  # fmt: skip
        dispatcher = Dispatcher(
            store=store, runner=self.runner, clock=self.clock, telemetry=telemetry,
            tree=configuration.tree, scope_labels=chosen.scope_labels,
        )  # fmt: skip
        self.loop = EvaluationLoop(
            engine=lambda: self.engine, intake=self.intake, dispatcher=dispatcher,
            clock=self.clock, telemetry=telemetry, coalesce_ms=100, on_evaluated=self.note,
        )  # fmt: skip

    def note(self, evaluation: Evaluation) -> None:
        self.verdicts += [
            (t.evaluated_at_ms, t.rule, str(t.state), format_labels(t.labels))
            for t in evaluation.transitions
        ]

    async def feed(self, entries: Sequence[Entry]) -> None:
        """Every event at its time, a turn every 100 ms, none left out."""
        waiting = list(reversed(entries))
        for turn_ms in itertools.count(entries[0].arrival_ms, 100):
            while waiting and waiting[-1].arrival_ms <= turn_ms:
                entry = waiting.pop()
                self.move_to(entry.arrival_ms)
                await self.intake.ingest(entry.batch, source="kafka")
            self.move_to(turn_ms)
            await self.loop.turn()
            if not waiting:
                return

    def _is_acting(self) -> Iterator[bool]:
        return (incident.state in _ACTING for incident in self.runner.current())

    def move_to(self, time_ms: int) -> None:
        self.clock.advance(max(0, time_ms - self.clock.now()))

    async def incident(self) -> Incident:
        """The first incident, once its levers have been pulled."""
        await until(self.clock, lambda: not any(self._is_acting()))
        return (await self.store.incidents())[-1]


class Nobody:
    """Is paged."""

    async def page(self, incident: Incident, reason: str) -> None:
        """Say nothing."""

    def decided(self, incident: Incident, record: JournalRecord) -> None:
        """Say nothing."""


def verdicts_of(findings: Findings) -> list[Verdict]:
    return [
        (t.at_ms, t.rule, str(t.state), format_labels(sorted(t.labels.items())))
        for t in findings.transitions
    ]


async def lived(
    path: Path, configuration: Configuration, chosen: Settings, folder: Path, kind: type[L]
) -> L:
    """The recording on the daemon's own path."""
    recording = FileRecording(path, Faults(), now_ms=NOW_MS)
    await recording.open()
    entries = [entry async for entry in merged([recording])]
    await recording.close()
    store = await SQLiteStore.open(await Database.open(folder / "store.db"))
    controls = await SQLiteControls.open(await Database.open(folder / "controls.db"))
    live = kind(configuration, chosen, store, controls, folder)
    await live.feed(entries)
    return live


async def test_the_live_path_and_backtest_say_the_same_of_a_rollout(tmp_path: Path) -> None:
    """The demo's traffic, the shipped rules: every transition, to the millisecond, and the act."""
    chosen = default_settings()
    lines = hour(RAG, length_ms=8 * MINUTE)
    path = write_lines(tmp_path / "rollout.ndjson", lines)
    live = await lived(path, load(chosen), chosen, tmp_path, Live)
    incident = await live.incident()
    await live.runner.stop()
    await live.store.close()
    findings = await _in_thread(path, chosen)
    pulling = [v[1:3] for v in live.verdicts if 'branch="' in v[3]]
    assert pulling == [("QualityDrift", "firing")]
    assert verdicts_of(findings) == live.verdicts
    (decision,) = findings.decisions
    assert decision.at_ms == incident.opened_at_ms
    assert (decision.branch, decision.rule) == (incident.branch, incident.triggers[0].rule)
    would = [(a.lever, a.name, a.after) for a in decision.acts]
    assert would == [(r.target.lever, r.target.name, r.after) for r in incident.receipts]


async def _in_thread(path: Path, chosen: Settings) -> Findings:
    """`played_files` has an event loop of its own."""
    return await asyncio.to_thread(played_files, [path], load(chosen), chosen)


RULES = """
groups:
  - name: g
    interval: 15s
    rules:
      - record: level:max2m
        expr: max by (service, region) (max_over_time(level[2m]))
      - alert: High
        expr: level > 10
        for: 30s
        keep_firing_for: 45s
        labels: {branch: quality_regression}
      - alert: HighLately
        expr: level:max2m > 10
        for: 1m
      - alert: Gone
        expr: absent(level)
        for: 30s
"""


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.lists(st.sampled_from([None, 5.0, 11.0, 12.0]), min_size=8, max_size=60))
def test_rule_tests_and_backtest_say_the_same(tmp_path: Path, values: list[float | None]) -> None:
    """Any series on the grid of the rule tests: at every step the same instances fire."""
    marked = [v if n else 5.0 for n, v in enumerate(values)]
    marked[-1] = 5.0
    events = [event(15 * n, level=v) for n, v in enumerate(marked) if v is not None]
    findings = played(tmp_path, events, rules=RULES)
    steps = "\n".join(
        f"      - {{eval_time: {15 * n}s, alertname: {name},"
        f" exp_alerts: [{_firing(findings, name, n)}]}}"
        for n in range(len(marked))
        for name in ("High", "HighLately", "Gone")
    )
    shown = " ".join("_" if v is None else f"{v:g}" for v in marked)
    text = f"""
rule_files: [rules.yaml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - series: 'level{{arm="canary", region="eu", service="rag"}}'
        values: '{shown}'
    alert_rule_test:
{steps}
"""
    tests = read_test_file(text, file="tests.yaml")
    results = run_test_file(tests, load(settings_of(tmp_path, RULES)).rule_files)
    assert [(r.name, r.expected, r.got) for r in results if not r.passed] == []


def _firing(findings: Findings, rule: str, step: int) -> str:
    """What fires in the backtest at a step, as a rule test expects it."""
    firing: dict[str, dict[str, str]] = {}
    for t in findings.transitions:
        if t.rule == rule and t.at_ms <= (START + 15 * step) * 1_000:
            key = format_labels(t.labels.items())
            firing.pop(key, None)
            if t.state == "firing":
                firing[key] = {k: v for k, v in t.labels.items() if k != "alertname"}
    return ", ".join(f"{{exp_labels: {labels}}}" for labels in firing.values())


@pytest.mark.parametrize("seed", range(5))
def test_leaving_rounds_out_changes_nothing(tmp_path: Path, seed: int) -> None:
    """A loop that turns every 100 ms and one that turns when there is something to do agree."""
    chance = random.Random(seed)
    at, events = 0.0, []
    for _ in range(150):
        at += chance.expovariate(1 / 4)
        events.append(event(round(at, 3), level=chance.choice([5, 11, 12])))
    chosen = settings_of(tmp_path, RULES)
    path = write(tmp_path / "recording", events)

    async def live() -> list[Verdict]:
        lived_through = await lived(path, load(chosen), chosen, tmp_path, Live)
        await lived_through.runner.stop()
        await lived_through.store.close()
        return lived_through.verdicts

    findings = played_files([path], load(chosen), chosen)
    assert verdicts_of(findings) == asyncio.run(live())
    assert findings.transitions
