"""A world for each lever on another system."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollbackd.connections.sqlite import Database
from rollbackd.controls.sqlite import SQLiteControls
from rollbackd.levers.lever_type import close_lever
from rollbackd.ports import Controls
from tests.levers.external.world import World
from tests.levers.external.worlds import WORLDS


@pytest.fixture
async def controls(tmp_path: Path) -> AsyncIterator[Controls]:
    """Where the fence is."""
    opened = await SQLiteControls.open(await Database.open(tmp_path / "rollbackd.db"))
    yield opened
    await opened.close()


@pytest.fixture(params=WORLDS, ids=lambda world: world.lever_type)
def world_type(request: pytest.FixtureRequest) -> type[World]:
    """Each of them in turn; a test that fits only some says which by `worlds_with`."""
    chosen: type[World] = request.param
    return chosen


@pytest.fixture
def servers(request: pytest.FixtureRequest, world_type: type[World]) -> dict[str, object]:
    """The servers that the world needs; outside of the test loop: they start in their own."""
    return {name: request.getfixturevalue(name) for name in world_type.needs}


@pytest.fixture
async def world(
    world_type: type[World], servers: dict[str, object], tmp_path: Path, controls: Controls
) -> AsyncIterator[World]:
    """One target with its lever, at what the rollout set."""
    made = world_type(tmp_path, servers, controls)
    try:
        await made.start()
        yield made
    finally:
        if hasattr(made, "lever"):
            await close_lever(made.lever)
        if made.proxy is not None:
            await made.proxy.refuse()
        await made.stop()
