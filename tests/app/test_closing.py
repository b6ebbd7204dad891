"""Filing a root cause on a real store, with the real files."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from rollbackd.app.closing import Closing
from rollbackd.clock import ManualClock
from rollbackd.evidence.pins import PinsTable
from rollbackd.evidence.report import FileReporter
from rollbackd.incidents.chain import first_break
from rollbackd.model.incidents import State
from rollbackd.telemetry import Telemetry
from tests.incidents.world import World

_FILED = {
    "cause": "pin_drift", "summary": "p2 | was never evaluated", "owner": "eve",
    "link": "https://tickets/7", "by": "bob",
}  # fmt: skip


class Closed:
    """An incident that has ended, and what closes it."""

    def __init__(self, world: World) -> None:
        self.world = world
        store: Any = world.store
        controls: Any = world.controls
        pins = PinsTable(Telemetry(CollectorRegistry()))
        self.reporter = FileReporter(world.folder / "incidents", controls=controls, pins=pins)
        self.closing = Closing(store, self.reporter, ManualClock())

    @property
    def folder(self) -> Path:
        return self.world.folder / "incidents" / "INC-1"

    async def is_whole(self) -> bool:
        incident, journal = await self.world.stored(), await self.world.journal()
        broken = first_break([msgspec.to_builtins(r) for r in journal], incident.chain_head)
        return broken is None and await self.reporter.flaw(incident, journal) == ""


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Closed]:
    """After a whole rollback."""
    world = await World.open(tmp_path)
    await world.open_incident("quality_regression")
    incident = await world.until_idle()
    assert incident.state is State.CLOSED
    yield Closed(world)
    await world.close()


async def test_the_root_cause_is_journaled_and_reported(closed: Closed) -> None:
    """The chain goes on, and both forms of the report have it."""
    before = await closed.world.journal()
    assert await closed.is_whole()
    after = await closed.closing.close("INC-1", **_FILED)
    assert after == await closed.world.stored()
    journal = await closed.world.journal()
    assert [record.kind for record in journal[len(before) :]] == ["RootCauseFiled"]
    assert "| summary | p2 \\| was never evaluated |" in (closed.folder / "report.md").read_text()
    assert "<td>pin_drift</td>" in (closed.folder / "report.html").read_text()
    assert await closed.is_whole()


@pytest.mark.parametrize("damage", ["gone", "edited", "of another"])
async def test_without_whole_evidence_it_is_refused(closed: Closed, damage: str) -> None:
    """F5: absent, or not as it was written; nothing is stored."""
    bundle = closed.folder / "bundle.json"
    body = bundle.read_bytes()
    bundle.unlink()
    if damage == "edited":
        bundle.write_bytes(body.replace(b'"PROMPT_VER":"p2"', b'"PROMPT_VER":"p1"'))
    elif damage == "of another":
        bundle.write_bytes(body.replace(b"INC-1", b"INC-2"))
    stored = await closed.world.stored()
    with pytest.raises(ValueError, match="not closed: the evidence bundle is"):
        await closed.closing.close("INC-1", **_FILED)
    assert await closed.world.stored() == stored


async def test_an_empty_field_is_refused_by_its_name(closed: Closed) -> None:
    """Before anything is looked at."""
    with pytest.raises(ValueError, match="`owner` must not be empty"):
        await closed.closing.close("INC-1", **{**_FILED, "owner": ""})


async def test_an_incident_that_is_not_there(closed: Closed) -> None:
    """Is a KeyError, as everywhere."""
    with pytest.raises(KeyError):
        await closed.closing.close("INC-9", **_FILED)


async def test_a_full_disk_does_not_take_the_root_cause_back(
    closed: Closed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is filed; the report of before stands, and the next filing may renew it."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    text = (closed.folder / "report.md").read_text()
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        after = await closed.closing.close("INC-1", **_FILED)
    assert after.root_cause is not None
    assert (closed.folder / "report.md").read_text() == text
    assert await closed.is_whole()
    await closed.closing.close("INC-1", **_FILED)
    assert "pin_drift" in (closed.folder / "report.md").read_text()
