"""A store, a telemetry, a clock, and tasks that end with the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from rollbackd.clock import ManualClock, SystemClock
from rollbackd.connections.sqlite import Database
from rollbackd.stores.sqlite import SQLiteStore
from rollbackd.telemetry import Telemetry
from tests.notifications.receiver import Receiver

#: Starts a coroutine that is cancelled at the end.
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


@pytest.fixture
def telemetry() -> Telemetry:
    """Metrics of one notifier."""
    return Telemetry(CollectorRegistry())


@pytest.fixture
def clock() -> ManualClock:
    """A clock a minute behind that of the servers, so that it can be moved without passing it."""
    return ManualClock(SystemClock().now() - 60_000)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    """An empty store."""
    database = await Database.open(tmp_path / "rollbackd.sqlite3")
    yield await SQLiteStore.open(database)
    await database.close()


@pytest.fixture
async def spawn() -> AsyncIterator[Spawn]:
    """Runs notifiers."""
    tasks: list[asyncio.Task[None]] = []

    def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(work))
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Somebody who takes webhooks."""
    async with Receiver() as started:
        yield started
