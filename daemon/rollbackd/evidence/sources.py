"""Asking a source of evidence: under a deadline, and never in anybody's way."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rollbackd.errors import RollbackdError

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def bounded(
    name: str, call: Callable[[], Awaitable[T]], unavailable: list[str], seconds: float
) -> T | None:
    """What the source answers; None, and its name in `unavailable`, when it does not. No raise."""
    try:
        async with asyncio.timeout(seconds):
            return await call()
    except (RollbackdError, TimeoutError) as error:
        logger.warning(
            "a source of evidence is unavailable",
            extra={"evidence": name, "because": str(error) or "no answer in time"},
        )
    except Exception:
        logger.exception("a source of evidence failed", extra={"evidence": name})
    unavailable.append(name)
    return None
