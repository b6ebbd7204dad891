"""The desk that triggers come to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from rollbackd.connections.sqlite import Database
from rollbackd.model.labels import Scope
from rollbackd.stores.sqlite import SQLiteStore
from tests.app.desk import Desk
from tests.incidents.samples import KNOWN_GOOD


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Where a known good set is recorded and nothing has fired."""
    store = await SQLiteStore.open(await Database.open(tmp_path / "rollbackd.db"))
    await store.put_known_good(KNOWN_GOOD)
    for service in ("search", "billing", "mail"):
        await store.put_known_good(replace(KNOWN_GOOD, scope=Scope(service, "eu-1")))
    yield Desk(store, tmp_path)
    await store.close()
