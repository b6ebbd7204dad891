"""A LIFO stack of named cleanups under one deadline."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 15.0
_CANCEL_AGAIN_SECONDS: Final = 0.5

Cleanup = Callable[[], Awaitable[None]]


class Cleanups:
    """What has to be undone on the way out; the last one started is the first one stopped."""

    def __init__(self) -> None:
        self._stack: list[tuple[str, Cleanup]] = []

    def push(self, name: str, cleanup: Cleanup) -> None:
        """Register a cleanup right after the thing that it undoes was started."""
        self._stack.append((name, cleanup))

    async def run(self) -> None:
        """Run all of them; a failure is logged by name and blocks none of the others."""
        deadline = asyncio.get_running_loop().time() + STOP_SECONDS
        while self._stack:
            name, cleanup = self._stack.pop()
            try:
                async with asyncio.timeout_at(deadline):
                    await cleanup()
            except TimeoutError:
                logger.exception("a cleanup ran out of time", extra={"cleanup": name})
            except Exception:
                logger.exception("a cleanup failed", extra={"cleanup": name})


async def cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it is gone.

    More than once if need be: a cancellation that meets a timeout in a library can get lost.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_SECONDS)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.debug("a task ended with an error", extra={"because": repr(error)})
