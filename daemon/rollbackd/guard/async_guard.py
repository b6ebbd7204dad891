"""The guard for asyncio."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

from rollbackd.guard.address import RedisAddress
from rollbackd.guard.admission import Admission, LocalBuckets, admit
from rollbackd.guard.async_connection import AsyncConnection
from rollbackd.guard.effects import Claim, Effects, ReceiptSink
from rollbackd.guard.errors import GuardUnavailableError
from rollbackd.guard.fenced import set_fields
from rollbackd.guard.idempotency import Receipt
from rollbackd.guard.keys import ScopeKeys
from rollbackd.guard.local import LocalGuard, steady_clock
from rollbackd.guard.polling import Reader
from rollbackd.guard.scripts import Argument
from rollbackd.guard.single_flight import Flight, get_or_load
from rollbackd.guard.view import Token
from rollbackd.guard.writes import Write

logger = logging.getLogger("rollbackd.guard")


class AsyncGuard(LocalGuard):
    """`Guard` for one event loop: a task keeps the controls fresh while the guard is open.

    Use it as `async with AsyncGuard("rag/eu-1", address) as guard:`, or `open` and `close` it.
    Effects, lookups, loads and `raise_fence` may be coroutine functions. Arguments are those of
    `Guard`.
    """

    def __init__(
        self,
        scope: str,
        address: RedisAddress | None = None,
        *,
        pins: Mapping[str, str] | None = None,
        poll_seconds: float = 1.0,
        lease_seconds: float = 5.0,
        effect_lease_seconds: float = 30.0,
        receipts: ReceiptSink | None = None,
        raise_fence: Callable[[Token], Awaitable[None] | None] | None = None,
        clock: Callable[[], float] = steady_clock,
    ) -> None:
        """Nothing is asked yet. Raises ValueError for arguments that cannot be meant."""
        super().__init__(pins=pins, lease_seconds=lease_seconds, clock=clock, receipts=receipts)
        self._keys = ScopeKeys(scope)
        self._buckets = LocalBuckets(clock)
        self._effects = Effects(
            keys=self._keys, clock=clock, emit=self._emit, lease_seconds=effect_lease_seconds
        )
        self._reader = Reader(
            self._keys,
            self._gate,
            self._turns,
            clock=clock,
            poll_seconds=poll_seconds,
            lease_seconds=lease_seconds,
            raise_fence=raise_fence,
        )
        self._poll_seconds = poll_seconds
        self._connection = AsyncConnection(address or RedisAddress())
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def reader_id(self) -> str:
        """This process among the readers of the scope: `host:pid:random`."""
        return self._reader.id

    async def open(self) -> None:
        """Read the controls once, and go on without them when Redis cannot be reached."""
        if self._task is None:
            self._closing = False
            pause = await self._poll()
            self._task = asyncio.create_task(self._keep_fresh(pause))

    async def admit(self, *, tenant: str = "", cost: float = 1.0) -> Admission:
        """See `Guard.admit`."""
        return await self._connection.run(
            admit(self._keys, self._gate.view.throttle, self._buckets, tenant=tenant, cost=cost)
        )

    async def once(
        self,
        write: Write,
        key: str,
        effect: Callable[[Claim], Awaitable[object] | object],
        *,
        request: str = "",
        find: Callable[[str], Awaitable[object | None] | object | None] | None = None,
    ) -> Receipt:
        """See `Guard.once`. An effect that is cancelled is in doubt."""
        return await self._connection.run(
            self._effects.once(write, key, effect, request=request, find=find)
        )

    async def open_effects(self, limit: int = 100) -> list[Receipt]:
        """See `Guard.open_effects`."""
        return await self._connection.run(self._effects.open(limit))

    async def set_fields(self, write: Write, key: str, fields: Mapping[str, Argument]) -> None:
        """See `Guard.set_fields`."""
        await self._connection.run(set_fields(self._keys, write, key, fields))

    async def get_or_load(
        self,
        key: str,
        load: Callable[[], Awaitable[bytes] | bytes],
        flight: Flight | None = None,
    ) -> bytes:
        """See `Guard.get_or_load`."""
        return await self._connection.run(
            get_or_load(self._keys, key, load, flight or Flight(), self._clock)
        )

    async def close(self) -> None:
        """Stop reading, and be no reader any more. Idempotent."""
        if self._task is not None:
            task, self._task = self._task, None
            self._closing = True
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            try:
                await self._connection.run(self._reader.leave())
            except GuardUnavailableError:
                logger.warning("the reader could not sign off; its lease passes by itself")
        await self._connection.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _keep_fresh(self, pause: float) -> None:
        hints = self._connection.hints(self._keys.changed)
        try:
            # a cancellation that meets a timeout of redis-py may be lost: the flag is not
            while not self._closing:
                await hints.wait(pause)
                pause = await self._poll()
        finally:
            await hints.drop()

    async def _poll(self) -> float:
        try:
            pause = await self._connection.run(self._reader.poll())
        except GuardUnavailableError as error:
            self._report(error)
            return self._poll_seconds
        except Exception:
            # this task is all that keeps the controls fresh: it never ends by itself
            logger.exception("the controls could not be read")
            return self._poll_seconds
        self._report(None)
        return pause
