"""A world for the runner."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.incidents.world import World

#: Files in memory, where there is such a place: crashes are simulated, disks are not needed.
_MEMORY = Path("/dev/shm")


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that is quick to write to."""
    where = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="rollbackd-", dir=where) as path:
        yield Path(path)


@pytest.fixture
async def world(folder: Path) -> AsyncIterator[World]:
    """Where nothing has happened yet."""
    opened = await World.open(folder)
    yield opened
    await opened.close()
