"""The last known controls in a file: whole, bounded, and not used when they may be out of date."""

import logging
from pathlib import Path

import pytest

from rollbackd.clock import ManualClock
from rollbackd.controls import snapshot as module
from rollbackd.controls.snapshot import MAX_AGE_MS, REFRESH_MS, Snapshot
from rollbackd.model.controls import Control
from rollbackd.model.labels import Scope

SCOPE = Scope("rag", "eu-1")
OFF = Control(
    name="flag:canary", trip={"global_off": True}, intent={"x": 1}, version=4, epoch=7, op_id="o"
)
KNOWN = {SCOPE: {OFF.name: OFF}}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "last-known-controls.json"


async def test_what_was_kept_is_there_after_a_restart(path: Path, clock: ManualClock) -> None:
    """For its owner alone to read."""
    await Snapshot(path, clock).keep(KNOWN, 1)
    assert Snapshot(path, clock).load() == KNOWN
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


async def test_it_is_written_at_a_change_and_when_it_is_due(path: Path, clock: ManualClock) -> None:
    """And not each second."""
    snapshot = Snapshot(path, clock)
    writes = []
    for revision, passes_ms in ((1, 0), (1, 1_000), (2, 0), (2, REFRESH_MS)):
        path.unlink(missing_ok=True)
        clock.advance(passes_ms)
        await snapshot.keep(KNOWN, revision)
        writes.append(path.exists())
    assert writes == [True, False, True, True]


@pytest.mark.parametrize(
    ("age_ms", "used"), [(0, True), (MAX_AGE_MS, True), (MAX_AGE_MS + 1, False)]
)
async def test_what_is_too_old_is_not_used(
    path: Path, clock: ManualClock, *, age_ms: int, used: bool
) -> None:
    """Somebody else may have pulled a lever since."""
    await Snapshot(path, clock).keep(KNOWN, 1)
    clock.advance(age_ms)
    assert bool(Snapshot(path, clock).load()) == used


async def test_what_comes_from_the_future_is_not_used(path: Path, clock: ManualClock) -> None:
    """A clock that was wrong has written it."""
    later = ManualClock()
    later.advance(MAX_AGE_MS + 1)
    await Snapshot(path, later).keep(KNOWN, 1)
    assert Snapshot(path, clock).load() == {}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": 1}',
        b'{"format": 2, "written_at_ms": %d, "scopes": {"a/b": []}}',
        b'{"format": 1, "written_at_ms": %d, "scopes": {"a b/c": []}}',
        b'{"format": 1, "written_at_ms": %d, "scopes": {"a/b": [{"name": 7}]}}',
        b"\xff" * 100,
    ],
)
async def test_what_cannot_be_read_is_nothing(path: Path, clock: ManualClock, text: bytes) -> None:
    """A daemon then starts as if there were none."""
    assert Snapshot(path, clock).load() == {}
    path.write_bytes(text.replace(b"%d", str(clock.now()).encode()))
    assert Snapshot(path, clock).load() == {}


async def test_beyond_the_bound_the_scopes_that_changed_last_are_kept(
    path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is too large is never read."""
    known = {
        Scope("rag", f"r{n}"): {"degrade": Control(name="degrade", version=1, updated_at_ms=n)}
        for n in range(100)
    }
    monkeypatch.setattr(module, "MAX_BYTES", 4_096)
    await Snapshot(path, clock).keep(known, 1)
    assert path.stat().st_size <= 4_096
    kept = Snapshot(path, clock).load()
    assert 0 < len(kept) < 100
    assert set(kept) == set(list(known)[-len(kept) :])
    path.write_bytes(b" " * 4_096 + path.read_bytes())
    assert Snapshot(path, clock).load() == {}


async def test_a_disk_that_is_gone_is_reported_once(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """And tried again at each look; the daemon goes on."""
    folder = tmp_path / "gone"
    snapshot = Snapshot(folder / "controls.json", clock)
    with caplog.at_level(logging.WARNING):
        await snapshot.keep(KNOWN, 1)
        await snapshot.keep(KNOWN, 1)
    assert [record.message for record in caplog.records] == ["the last known controls are not kept"]
    folder.mkdir()
    await snapshot.keep(KNOWN, 1)
    assert snapshot.load() == KNOWN
