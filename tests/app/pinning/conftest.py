from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollbackd.settings import AutoPinSettings
from tests.app.pinning.office import Office


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    """Nothing is recorded, and nothing records by itself."""
    opened = await Office.open(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def automatic(tmp_path: Path) -> AsyncIterator[Office]:
    """It records by itself after one minute."""
    opened = await Office.open(tmp_path, AutoPinSettings(after_ms=60_000))
    yield opened
    await opened.close()
