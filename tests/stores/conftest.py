"""A store on each backend."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollbackd.ports import Store
from tests.backends import Backend, RedisBackend, SQLiteBackend


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.services)])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """What the store stands on."""
    if request.param == "sqlite":
        return SQLiteBackend(tmp_path / "rollbackd.db")
    return RedisBackend(request.getfixturevalue("redis_server"))


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await backend.store()
    yield opened
    await opened.close()
