"""Simulated adapters that can be closed and opened again, as the contract suites do."""

import copy

import pytest

from rollbackd.app.simulation.controls import SimulatedControls
from rollbackd.app.simulation.store import SimulatedStore
from rollbackd.ports import Controls, Store


class SimulatedBackend:
    """What the last one knew, the next one knows."""

    def __init__(self) -> None:
        self._store = SimulatedStore()
        self._controls = SimulatedControls()

    async def store(self) -> Store:
        self._store = copy.copy(self._store)
        self._store.closed = False
        return self._store

    async def controls(self) -> Controls:
        self._controls = copy.copy(self._controls)
        self._controls.closed = False
        return self._controls


@pytest.fixture
def backend() -> SimulatedBackend:
    """Replaces the backends of the contract suites."""
    return SimulatedBackend()
