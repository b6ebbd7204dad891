"""Runs a scenario, and holds what came of it against what it expects.

For whoever writes one: `python -m tests.scenarios.runner FILE...`.
"""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from rollbackd.documents.diagnostics import Position
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.labels import Scope
from tests.scenarios.play import Play
from tests.scenarios.timeline import Expect, Scenario, milliseconds, read_scenarios


class Outcome:
    """Every difference between what was expected and what was seen."""

    def __init__(self) -> None:
        self.differences: list[str] = []
        self.pairs: set[tuple[State, State]] = set()


async def outcome_of(scenario: Scenario, folder: Path) -> Outcome:
    """Play a scenario and look where it wants to be looked at."""
    outcome = Outcome()
    play = await Play.prepare(scenario, folder)
    try:
        before = await _versions(play)
        looks = [(milliseconds(each.at), each, where) for each, where in scenario.expect if each.at]

        async def look(at_ms: float) -> None:
            for when, expect, where in looks:
                if when == at_ms:
                    outcome.differences += await _differences(play, expect, where, before)

        await play.run(look, sorted({when for when, _, _ in looks}))
        for expect, where in scenario.expect:
            if not expect.at:
                outcome.differences += await _differences(play, expect, where, before)
        outcome.differences += play.failures
        outcome.pairs = await _pairs(play)
    finally:
        await play.close()
    return outcome


async def _differences(
    play: Play, expect: Expect, where: Position, before: dict[tuple[str, str], int]
) -> list[str]:
    seen = await _seen(play, expect, before)
    return [
        f"{where.file}:{where.line}: {play.scenario.name}: {what}: expected {wanted!r}, got {got!r}"
        for what, wanted, got in seen
        if wanted is not None and wanted != got
    ]


async def _seen(
    play: Play, expect: Expect, before: dict[tuple[str, str], int]
) -> list[tuple[str, Any, Any]]:
    """(what, wanted, got) of everything that is expected."""
    store, opened = play.outside.store, await play.outside.opened()
    found: list[tuple[str, Any, Any]] = []
    if expect.incidents is not None:
        stored = [await store.incident(each) for each in opened]
        got = [f"{each.state} {each.reason}" for each in stored if each is not None]
        found.append(("incidents", expect.incidents, got))
    if expect.pages is not None:
        found.append(("pages", expect.pages, [reason for _, reason in play.outside.pages]))
    scope = Scope.parse(expect.scope or play.scenario.given.scopes[0])
    controls = await play.outside.controls.read_all(scope)
    for name, fields in expect.controls.items():
        now = controls[name].effective if name in controls else {}
        found.append((name, fields, {key: now.get(key) for key in fields}))
    for name, fields in expect.intents.items():
        intent = (controls[name].intent if name in controls else None) or {}
        found.append((f"intent of {name}", fields, {key: intent.get(key) for key in fields}))
    for name, times in expect.changes.items():
        version = controls[name].version if name in controls else 0
        changed = version - before.get((str(scope), name), 0)
        found.append((f"changes of {name}", times, changed))
    for name, value in expect.metrics.items():
        found.append((name, value, _metric(play, name)))
    number = expect.incident - 1
    if opened and -len(opened) <= number < len(opened):
        incident = await store.incident(opened[number])
        assert incident is not None
        found += _of_incident(expect, incident, await store.journal(incident.id))
        found += _of_report(play, expect, incident)
    elif expect.state is not None:
        found.append(("incident", expect.state, "none"))
    return found


def _of_incident(
    expect: Expect, incident: Incident, journal: list[JournalRecord]
) -> list[tuple[str, Any, Any]]:
    reasons = [str(record.reason) for record in journal]
    evidence = incident.evidence
    return [
        ("state", expect.state, str(incident.state)),
        ("reason", expect.reason, str(incident.reason)),
        ("branch", expect.branch, incident.branch),
        ("states", expect.states, _states(journal)),
        ("journal", expect.journal, _in_order(expect.journal or [], reasons)),
        ("receipts", expect.receipts, [r.target.lever for r in incident.receipts]),
        ("ledger", expect.ledger, [f"{m.change.target.lever} {m.status}" for m in incident.ledger]),
        ("failed_checks", expect.failed_checks, [c.name for c in incident.audit if not c.passed]),
        ("missing_pins", expect.missing_pins, evidence.missing_pins if evidence else ["all"]),
        ("unavailable", expect.unavailable, evidence.unavailable if evidence else ["all"]),
        ("note", expect.note, _part_of(expect.note, incident.note)),
    ]


def _of_report(play: Play, expect: Expect, incident: Incident) -> list[tuple[str, Any, Any]]:
    if expect.report is None:
        return []
    path = play.station.reporter.path_of(incident.id)
    text = path.read_text() if path.exists() else "no report"
    return [("report", expect.report, _part_of(expect.report, text))]


def _states(journal: list[JournalRecord]) -> list[str]:
    path = [str(journal[0].to_state)]
    return path + [str(r.to_state) for r in journal[1:] if r.to_state is not r.from_state]


def _in_order(wanted: list[str], reasons: list[str]) -> list[str]:
    """What is wanted if it is there in this order, else everything."""
    left = iter(reasons)
    return wanted if all(each in left for each in wanted) else reasons


def _part_of(wanted: str | None, text: str) -> str:
    return wanted if wanted is not None and wanted in text else text


def _metric(play: Play, name: str) -> float:
    """`name{label="value"}` of the process that runs, 0 where it has none."""
    bare, _, rest = name.partition("{")
    pairs = (part.partition("=") for part in rest.rstrip("}").split(",") if part)
    labels = {key.strip(): value.strip('"') for key, _, value in pairs}
    return play.station.telemetry.registry.get_sample_value(f"rollbackd_{bare}", labels) or 0.0


async def _versions(play: Play) -> dict[tuple[str, str], int]:
    return {
        (text, name): control.version
        for text in play.scenario.given.scopes
        for name, control in (await play.outside.controls.read_all(Scope.parse(text))).items()
    }


async def _pairs(play: Play) -> set[tuple[State, State]]:
    return {
        (record.from_state, record.to_state)
        for incident_id in await play.outside.opened()
        for record in await play.outside.store.journal(incident_id)
        if record.from_state is not None and record.from_state is not record.to_state
    }


def main(paths: list[str]) -> int:
    """Play every scenario of the files; 1 when one of them came out otherwise."""
    logging.disable()
    differences: list[str] = []
    for scenario in (each for path in paths for each in read_scenarios(Path(path))):
        with tempfile.TemporaryDirectory() as folder:
            outcome = asyncio.run(outcome_of(scenario, Path(folder)))
        differences += outcome.differences
        sys.stdout.write(f"{'FAILED' if outcome.differences else 'ok    '} {scenario.name}\n")
    sys.stdout.writelines(f"{difference}\n" for difference in differences)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
