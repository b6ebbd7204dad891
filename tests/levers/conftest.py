"""Controls on each backend."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollbackd.ports import Controls
from tests.backends import Backend, RedisBackend, SQLiteBackend


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.services)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """What the controls stand on."""
    if request.param == "sqlite":
        return SQLiteBackend(tmp_path / "rollbackd.db")
    return RedisBackend(request.getfixturevalue("redis_server"))


@pytest.fixture
async def controls(backend: Backend) -> AsyncIterator[Controls]:
    """Controls where nothing was ever written."""
    opened = await backend.controls()
    yield opened
    await opened.close()
