"""A few lines of recording through a few rules: the shortest way to a Findings."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rollbackd.app.backtest.findings import Findings
from rollbackd.app.backtest.play import play
from rollbackd.app.backtest.recording import Faults, FileRecording
from rollbackd.app.configuration import Configuration, load
from rollbackd.model.events import KnownGood
from rollbackd.settings import EngineSettings, Settings, default_settings
from tests.app.backtest.recordings import START_MS

#: Long after every recording here, as a wall clock is.
NOW_MS = START_MS + 86_400_000

START = START_MS // 1_000

PINS = {"PROMPT_VER": "p1", "INDEX_HASH": "a1", "MODEL_VER": "m1"}

#: A rule that pulls as soon as `level` is above 10.
HIGH = """
groups:
  - name: g
    interval: 15s
    rules:
      - alert: High
        expr: level > 10
        labels: {branch: quality_regression}
"""

TREE = """
defaults: {hold: 5m, cooldown: 10m}
exit_targets:
  - {name: level, value: level, below: 10}
branches:
  duplicate_effects:
    freeze: {lever: write_block, params: {scope: all}}
    needs_known_good: false
    targets: [level]
  quality_regression:
    freeze: {lever: write_block}
    levers:
      - {lever: flag_off, name: canary}
      - {lever: alias_revert, name: docs_live, reverts: [INDEX_HASH]}
      - {lever: repin}
    rotate: {lever: cache_rotate}
    throttle:
      - {lever: throttle}
    targets: [level]
"""

Event = dict[str, Any]


def event(at: float, arm: str = "canary", **values: float) -> Event:
    """An event of rag/eu, `at` seconds into the recording."""
    return {
        "event": "answer.served",
        "ts": START + at,
        "service": "rag",
        "region": "eu",
        "arm": arm,
        "values": values,
    }


def level(*points: tuple[float, float]) -> list[Event]:
    """A gauge at several times."""
    return [event(at, level=value) for at, value in points]


def pinned(at: float = 0, **more: Any) -> Event:
    """The known good set of rag/eu."""
    return {
        "event": "baseline.pinned",
        "ts": START + at,
        "service": "rag",
        "region": "eu",
        "pins": PINS,
        "controls": {"alias:docs_live": {"index": "docs_vA"}},
        **more,
    }


def write(path: Path, events: Iterable[Event | str]) -> Path:
    """A recording; what is text already stands as it is."""
    lines = (each if isinstance(each, str) else json.dumps(each) for each in events)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def settings_of(
    folder: Path, rules: str = HIGH, tree: str = TREE, coalesce_ms: int = 100
) -> Settings:
    """Settings with these rules and this tree."""
    (folder / "rules.yaml").write_text(rules)
    (folder / "decision-tree.yaml").write_text(tree)
    return replace(
        default_settings(),
        rules=[folder / "rules.yaml"],
        decision_tree=folder / "decision-tree.yaml",
        engine=EngineSettings(coalesce_ms=coalesce_ms),
    )


def played(
    folder: Path,
    *recordings: Sequence[Event | str],
    rules: str = HIGH,
    tree: str = TREE,
    known_good: Sequence[KnownGood] = (),
    with_curves: bool = False,
) -> Findings:
    """What comes of recordings, each a file of its own."""
    settings = settings_of(folder, rules, tree)
    paths = [write(folder / f"{n}.ndjson", events) for n, events in enumerate(recordings)]
    return played_files(
        paths, load(settings), settings, known_good=known_good, with_curves=with_curves
    )


def played_files(
    paths: Sequence[Path],
    configuration: Configuration,
    settings: Settings,
    *,
    known_good: Sequence[KnownGood] = (),
    with_curves: bool = False,
) -> Findings:
    """What comes of files."""
    faults = Faults()
    return asyncio.run(
        play(
            [FileRecording(path, faults, now_ms=NOW_MS) for path in paths],
            configuration,
            settings,
            faults=faults,
            known_good=known_good,
            with_curves=with_curves,
        )
    )


def fired(findings: Findings) -> list[tuple[float, str, str]]:
    """(seconds, rule, state) of every transition."""
    return [(seconds(t.at_ms), t.rule, str(t.state)) for t in findings.transitions]


def decided(findings: Findings) -> list[tuple[float, str]]:
    """(seconds, reason) of every decision."""
    return [(seconds(d.at_ms), str(d.reason)) for d in findings.decisions]


def seconds(at_ms: int) -> float:
    """Time since the start of the recording."""
    return (at_ms - START_MS) / 1_000
