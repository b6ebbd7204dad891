"""The levers in force, over reloads."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rollbackd.app import lever_table
from rollbackd.app.lever_table import LeversInForce
from rollbackd.clock import ManualClock
from rollbackd.connections.sqlite import Database
from rollbackd.controls.sqlite import SQLiteControls
from rollbackd.errors import PermanentError
from rollbackd.levers import BUILT_IN
from rollbackd.levers.dry_run import DryRunSettings
from rollbackd.levers.lever_type import LeverDefinition
from rollbackd.levers.redis_key import RedisKeySettings
from rollbackd.model.levers import ACT_TIMEOUT_MS


@pytest.fixture
async def controls(tmp_path: Path) -> AsyncIterator[SQLiteControls]:
    """Where the built-in levers act."""
    opened = await SQLiteControls.open(await Database.open(tmp_path / "rollbackd.db"))
    yield opened
    await opened.close()


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs of the levers that were closed, in turn."""
    found: list[str] = []

    async def close(lever: Any) -> None:
        if hasattr(lever, "_server"):
            found.append(lever._server._endpoint.url)

    monkeypatch.setattr(lever_table, "close_lever", close)
    return found


def pointer(url: str) -> dict[str, LeverDefinition]:
    """A levers file with one lever."""
    return {"ptr": LeverDefinition(type="redis_key", settings=RedisKeySettings(url=url))}


async def settled() -> None:
    """Let what is due happen."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_reload_changes_the_very_table_that_incidents_hold(
    controls: SQLiteControls, closed: list[str]
) -> None:
    """What is replaced stays open for as long as a call on it may be under way."""
    clock = ManualClock()
    levers = LeversInForce(controls, clock, pointer("redis://old:6379/0"))
    table, old = levers.table, levers.table["ptr"]
    levers.replace(pointer("redis://new:6379/0"))
    assert levers.table is table
    assert table["ptr"] is not old
    await settled()
    clock.advance(ACT_TIMEOUT_MS)
    await settled()
    assert closed == []
    clock.advance(1_000)
    await settled()
    assert closed == ["redis://old:6379/0"]
    await levers.close()
    assert closed == ["redis://old:6379/0", "redis://new:6379/0"]


async def test_what_may_take_long_stays_open_for_as_long(controls: SQLiteControls) -> None:
    """A reload cuts no call off that has the time of its own lever."""

    class Slow:
        act_timeout_ms = 120_000
        closed = False

        async def close(self) -> None:
            self.closed = True

    slow, clock = Slow(), ManualClock()
    levers = LeversInForce(controls, clock, {})
    levers.table["slow"] = slow  # type: ignore[assignment]  # as much of it as is needed
    levers.replace({})
    for passes, closed in ((119_000, False), (2_000, True)):
        await settled()
        clock.advance(passes)
        await settled()
        assert slow.closed is closed
    await levers.close()


async def test_the_end_closes_what_was_replaced_too(
    controls: SQLiteControls, closed: list[str]
) -> None:
    """It is not waited for."""
    levers = LeversInForce(controls, ManualClock(), pointer("redis://old:6379/0"))
    levers.replace({})
    assert levers.table.keys() == BUILT_IN.keys()
    await settled()
    await levers.close()
    assert closed == ["redis://old:6379/0"]


async def test_levers_that_cannot_be_built_leave_those_in_force(
    controls: SQLiteControls, closed: list[str]
) -> None:
    """All or nothing."""
    levers = LeversInForce(controls, ManualClock(), pointer("redis://old:6379/0"))
    kept = dict(levers.table)
    bad = {"x": LeverDefinition(type="dry_run", settings=DryRunSettings(of="nothing"))}
    with pytest.raises(PermanentError, match="no lever `nothing`"):
        levers.replace(bad)
    assert levers.table == kept
    assert closed == []
    await levers.close()
