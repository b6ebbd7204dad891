"""Writes the journals of a version: `python -m tests.incidents.record_journals v2`.

Scenarios of each branch and of each ending are played, and what the store had is kept for the tests
of every later version. A folder that is there already is left as it is.
"""

import asyncio
import logging
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from unittest import mock

import msgspec

from rollbackd.incidents import messages as m
from rollbackd.incidents.step import step
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.stores.records import encode
from tests.incidents.recordings import JOURNALS, Happened, Recording
from tests.scenarios.play import Play
from tests.scenarios.timeline import Scenario, scenarios_of

_SCENARIOS: Final = Path(__file__).parents[1] / "scenarios"
#: How the names of the scenarios begin: each branch, each ending, and every detour.
_WANTED: Final = (
    "C1-C7: a bad prompt pack",
    "D2: a retriever that reads",
    "D3: tail latency",
    "D4: duplicate effects block",
    "D4: duplicates during a quality incident",
    "D4: a duplicate effect keeps",
    "D4: a listing that is down",
    "A4: an effect that no receipt",
    "K8: the symptom says quality",
    "C2: the fence is up",
    "C4: the daemon dies after the flip",
    "F1: a person gives everything back",
    "F2: writers go on",
    "F4: somebody took the fence away",
    "X1: not green by the deadline",
    "A2: somebody moved the cache",
    "A5-05: a target that does not answer",
    "auditing => aborted",
    "observe_mode: the whole tree",
    "approval: a person says no",
    "approval: a branch that asks",
    "approval: nobody answers over a restart",
    "worse_after_acting",
    "pointer_drifted",
    "restoring => reverting",
    "capturing => awaiting_approval",
)


class Recorder:
    """Keeps what a store is given and what `step` is given."""

    def __init__(self) -> None:
        self.stored: dict[str, dict[int, Incident]] = {}
        self.happened: dict[str, dict[int, Happened]] = {}

    def step(
        self, incident: Incident, event: m.Event, now_ms: int
    ) -> tuple[Incident, JournalRecord | None]:
        """As `incidents.step`; what a crash undoes is taken back when it happens anew."""
        after, record = step(incident, event, now_ms)
        happened = self.happened.setdefault(incident.id, {})
        happened[after.version] = Happened.of(event, now_ms)
        self.stored.setdefault(incident.id, {})[incident.version] = incident
        self.stored[incident.id][after.version] = after
        return after, record


async def record(scenario: Scenario, folder: Path) -> list[Recording]:
    """Play a scenario and keep its incidents."""
    recorder = Recorder()
    play = await Play.prepare(scenario, folder)
    try:
        with mock.patch("rollbackd.incidents.drive.step", recorder.step):
            await play.run(_look_away, ())
        store = play.outside.store
        return [
            _recording(scenario, recorder, incident, await store.journal(incident.id))
            for incident_id in await play.outside.opened()
            if (incident := await store.incident(incident_id)) is not None
        ]
    finally:
        await play.close()


def _recording(
    scenario: Scenario, recorder: Recorder, last: Incident, journal: Sequence[JournalRecord]
) -> Recording:
    versions = recorder.stored.get(last.id, {}) | {last.version: last}
    known = [versions[version] for version in sorted(versions) if version <= last.version]
    turns = [each for n, each in enumerate(known) if n == 0 or each.state is not known[n - 1].state]
    happened = recorder.happened.get(last.id, {})
    return Recording(
        about=scenario.name,
        stored=[_plain(each) for each in [*turns, *([] if turns[-1] is last else [last])]],
        happened=[happened[version] for version in sorted(happened) if version <= last.version],
        journal=[_plain(each) for each in journal],
    )


def _plain(value: Incident | JournalRecord) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(encode(value))
    return plain


async def _look_away(_at_ms: float) -> None:
    """The scenario's own test looks."""


def main(version: str) -> None:
    """Write the recordings of a version."""
    logging.disable()
    folder = JOURNALS / version
    folder.mkdir(parents=True)
    scenarios = scenarios_of(_SCENARIOS)
    for name in _WANTED:
        scenario = next(each for each in scenarios if each.name.startswith(name))
        with tempfile.TemporaryDirectory() as scratch:
            found = asyncio.run(record(scenario, Path(scratch)))
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        for number, recording in enumerate(found, start=1):
            path = folder / f"{slug}-{number}.json"
            path.write_bytes(msgspec.json.encode(recording) + b"\n")
            sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main(sys.argv[1])
