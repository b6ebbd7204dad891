"""Trying what may pass again until it passes: an incident cannot go anywhere else."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from rollbackd.clock import Clock
from rollbackd.errors import TemporaryError

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: One call may take this long where nobody says otherwise.
DEADLINE_SECONDS: Final = 5.0
_MAX_DELAY_MS: Final = 5_000


async def patiently(
    call: Callable[[], Awaitable[T]],
    clock: Clock,
    on_stuck: Callable[[str], Awaitable[None]],
    *,
    stuck_after_ms: int = 60_000,
    give_up_after_ms: int | None = None,
    deadline_seconds: Callable[[], float] = lambda: DEADLINE_SECONDS,
) -> T:
    """Call until it does not raise TemporaryError, each try under a deadline, with backoff.

    The deadline is asked for before each try, for a reload may have set another one. `on_stuck` is
    called once, with the error's text, when all of it takes `stuck_after_ms` and has not succeeded;
    the TemporaryError itself is raised when it takes `give_up_after_ms` or longer.
    """
    delay_ms = 50
    started = clock.monotonic()
    told = False
    while True:
        seconds = deadline_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await call()
        except TemporaryError as error:
            message, wanted_ms = str(error), error.delay_ms
        except TimeoutError:
            message, wanted_ms = f"no answer within {seconds:g} s", 0
        failing_ms = (clock.monotonic() - started) * 1_000
        if give_up_after_ms is not None and failing_ms >= give_up_after_ms:
            raise TemporaryError(message)
        if not told and failing_ms >= stuck_after_ms:
            told = True
            await on_stuck(message)
        wait_ms = min(max(delay_ms, wanted_ms), _MAX_DELAY_MS)
        logger.warning("will try again", extra={"because": message, "delay_ms": wait_ms})
        await clock.sleep(wait_ms)
        delay_ms = min(delay_ms * 2, _MAX_DELAY_MS)
