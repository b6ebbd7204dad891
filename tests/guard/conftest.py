"""Controls that the tests write as the daemon does, and guards that read them."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from rollbackd.controls.redis import RedisControls
from rollbackd.model.controls import ControlValue
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op
from rollbackd.ports import Controls
from tests.backends import RedisBackend
from tests.guard.driving import SCOPE, Opened, opened
from tests.services.polling import eventually
from tests.services.redis import Redis

OpenGuard: TypeAlias = Callable[..., Awaitable[Opened]]

_OPS = itertools.count(1)


class Board:
    """The controls of the scope, tripped and released as an incident does it."""

    def __init__(self, controls: Controls) -> None:
        self.controls = controls

    async def trip(self, name: str, value: ControlValue | None, *, epoch: int = 7) -> None:
        now = await self.controls.read(Scope.parse(SCOPE), name)
        await self.controls.set_trip(
            Scope.parse(SCOPE),
            name,
            value,
            expected_version=now.version,
            op=Op(op_id=f"op-{next(_OPS)}", epoch=epoch, incident_id="INC-1"),
            now_ms=1,
        )

    async def freeze(self, scope: str = "non_idempotent", *, epoch: int = 7) -> None:
        value: ControlValue = {"blocked": True, "scope": scope, "retry_after_seconds": 30}
        await self.trip("writes", value, epoch=epoch)


@pytest.fixture(params=["threads", "asyncio"])
def flavor(request: pytest.FixtureRequest) -> str:
    """Which of the two guards."""
    return str(request.param)


@pytest.fixture
def backend(redis_server: Redis) -> RedisBackend:
    """An empty database."""
    return RedisBackend(redis_server)


@pytest.fixture
async def board(backend: RedisBackend) -> AsyncIterator[Board]:
    """Controls where nothing was ever written."""
    controls = await backend.controls()
    assert isinstance(controls, RedisControls)
    yield Board(controls)
    await controls.close()


@pytest.fixture
async def open_guard(flavor: str, backend: RedisBackend) -> AsyncIterator[OpenGuard]:
    """Opens guards of the flavor on the database; they are closed at the end."""
    guards: list[Opened] = []

    async def open_one(**options: Any) -> Opened:
        url = options.pop("url", backend.url)
        guards.append(await opened(flavor, url, **options))
        return guards[-1]

    yield open_one
    for guard in guards:
        await guard.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for what the next polls are bound to show."""

    async def holds() -> object:
        return condition()

    await eventually(holds, within_seconds=10)
