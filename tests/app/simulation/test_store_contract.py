"""The simulated store does what every store does."""

from collections.abc import AsyncIterator

import pytest

from rollbackd.ports import Store
from tests.app.simulation.conftest import SimulatedBackend
from tests.stores.test_store_contract import *  # noqa: F403  # the suite itself


@pytest.fixture
async def store(backend: SimulatedBackend) -> AsyncIterator[Store]:
    """An empty store."""
    opened = await backend.store()
    yield opened
    await opened.close()
