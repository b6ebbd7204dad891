"""A world for the runner."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.incidents.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Where nothing has happened yet."""
    opened = await World.open(tmp_path)
    yield opened
    await opened.close()
