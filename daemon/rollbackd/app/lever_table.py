"""The levers in force: built from the configuration, replaced by a reload, closed in the end."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from rollbackd.clock import Clock
from rollbackd.levers import build_levers
from rollbackd.levers.lever_type import LeverDefinition, close_lever
from rollbackd.ports import Controls, Lever

#: A call that was ended in time has unwound by then.
_UNWOUND_MS: Final = 1_000


class LeversInForce:
    """`table` is what incidents look their levers up in, anew for each try."""

    def __init__(
        self, controls: Controls, clock: Clock, definitions: Mapping[str, LeverDefinition]
    ) -> None:
        self._controls = controls
        self._clock = clock
        self.table: dict[str, Lever] = build_levers(controls, clock, definitions)
        self._closing: set[asyncio.Task[None]] = set()

    def replace(self, definitions: Mapping[str, LeverDefinition]) -> None:
        """Take the levers of another configuration; incidents that are open go on with them.

        What they replace is closed once no call on it can be under way: a session that is closed
        under a call loses its answer. Raises PermanentError, and then nothing has changed.
        """
        table = build_levers(self._controls, self._clock, definitions)
        before = list(self.table.values())
        self.table.clear()
        self.table.update(table)
        task = asyncio.create_task(self._close_later(before), name="replaced levers")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Release every connection, also of levers that were replaced."""
        closing = list(self._closing)
        for task in closing:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)
        await _close(self.table.values())

    async def _close_later(self, levers: Collection[Lever]) -> None:
        try:
            longest_ms = max(lever.act_timeout_ms for lever in levers)
            await self._clock.sleep(longest_ms + _UNWOUND_MS)
        finally:
            await _close(levers)


async def _close(levers: Iterable[Lever]) -> None:
    """Close all of them; one that cannot be closed keeps no other one open."""
    await asyncio.gather(*map(close_lever, levers), return_exceptions=True)
