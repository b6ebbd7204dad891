"""The simulated controls do what all controls do."""

from collections.abc import AsyncIterator

import pytest

from rollbackd.ports import Controls
from tests.app.simulation.conftest import SimulatedBackend
from tests.controls.test_controls_contract import *  # noqa: F403  # the suite itself


@pytest.fixture
async def controls(backend: SimulatedBackend) -> AsyncIterator[Controls]:
    """Controls where nothing was ever written."""
    opened = await backend.controls()
    yield opened
    await opened.close()
