"""Both guards behind one face, so that one suite judges both."""

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol

from rollbackd.guard import AsyncGuard, Guard, RedisAddress

SCOPE = "rag/eu-1"
PINS = {"INDEX_HASH": "a1", "PROMPT_VER": "p-1", "MODEL_VER": "m-1", "RERANK_CONF": "r-1"}


class Opened(Protocol):
    """A guard that is open; what takes time is awaited."""

    #: The guard itself, for what it answers by itself.
    local: Guard | AsyncGuard

    async def do(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method."""
        ...

    async def close(self) -> None:
        """Close the guard."""
        ...


class Threads:
    """The guard for threads; each call has a thread of its own."""

    def __init__(self, guard: Guard) -> None:
        self.local: Guard | AsyncGuard = guard

    async def do(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(
            functools.partial(getattr(self.local, method), *args, **kwargs)
        )

    async def close(self) -> None:
        await self.do("close")


class Tasks:
    """The guard for asyncio."""

    def __init__(self, guard: AsyncGuard) -> None:
        self.local: Guard | AsyncGuard = guard

    async def do(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return await getattr(self.local, method)(*args, **kwargs)

    async def close(self) -> None:
        await self.do("close")


async def opened(flavor: str, url: str, **options: Any) -> Opened:
    """A guard of one flavor that has read the controls, if Redis lets it."""
    address = RedisAddress(url=url)
    options = {"pins": PINS, "poll_seconds": 0.05, "lease_seconds": 5.0, **options}
    if flavor == "threads":
        return Threads(await asyncio.to_thread(functools.partial(Guard, SCOPE, address, **options)))
    guard = AsyncGuard(SCOPE, address, **options)
    await guard.open()
    return Tasks(guard)


def as_flavor(flavor: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """What the application gives to a guard: a coroutine function for asyncio's."""
    if flavor == "threads":
        return function

    async def asynchronous(*args: Any) -> Any:
        await asyncio.sleep(0)
        answer = function(*args)
        return await answer if inspect.isawaitable(answer) else answer

    return asynchronous
