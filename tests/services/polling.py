"""Waiting for what is bound to happen: poll with a deadline, never sleep and hope."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(
    probe: Callable[[], Awaitable[T]], *, within_seconds: float, every_seconds: float = 0.02
) -> T:
    """The first truthy answer of `probe`, which is asked at least once.

    Past the deadline a TimeoutError carries the last answer.
    """
    deadline = time.monotonic() + within_seconds
    while not (answer := await probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {answer!r} after {within_seconds} s")
        await asyncio.sleep(every_seconds)
    return answer
