"""Work done by tasks: redis-py's asyncio client."""

import asyncio
import contextlib
import inspect
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import redis.exceptions
from redis.asyncio import BlockingConnectionPool, Redis, SSLConnection
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rollbackd.guard.address import RedisAddress
from rollbackd.guard.connection import unavailable
from rollbackd.guard.scripts import SCRIPTS, Argument, Call
from rollbackd.guard.work import Commands, Invoke, Step, Wait, Work

T = TypeVar("T")

_REFUSED: Final = (redis.exceptions.RedisError, OSError)
_LOST: Final = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
_DEADLINE_SECONDS: Final = 2.0


class AsyncConnection:
    """One pool on one server, for one event loop. Only GuardUnavailableError comes of Redis."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = str(address)
        options = address.options(tls_connection=SSLConnection)
        pool = BlockingConnectionPool(**options, retry=Retry(NoBackoff(), 0))
        self._client: Any = Redis.from_pool(pool)

    async def run(self, work: Work[T]) -> T:
        """Do a piece of work to its end; one that is cancelled still says so to Redis."""
        try:
            step = next(work)
            while True:
                try:
                    answer = await self._perform(step)
                except BaseException as error:  # noqa: BLE001  # the work decides what to do
                    step = work.throw(error)
                else:
                    step = work.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result

    async def close(self) -> None:
        """Close the pool. Idempotent."""
        await self._client.aclose()

    def hints(self, channel: str) -> "AsyncHints":
        """Hear of changes on a channel."""
        return AsyncHints(self._client, channel)

    async def _perform(self, step: Step) -> Any:
        match step:
            case Invoke():
                answer = step.function(*step.arguments)
                return await answer if inspect.isawaitable(answer) else answer
            case Wait():
                return await asyncio.sleep(step.seconds)
            case Commands():
                return await self._execute(step.commands, repeatable=True)
            case Call():
                (reply,) = await self._execute([step.command()], repeatable=step.repeatable)
                return step.read(reply)

    async def _execute(
        self, commands: Sequence[tuple[Argument, ...]], *, repeatable: bool
    ) -> list[Any]:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                try:
                    return await self._send(commands)
                except redis.exceptions.NoScriptError:
                    # the server is new or has restarted: the script did not run
                    for script in SCRIPTS:
                        await self._client.script_load(script.text)
                    return await self._send(commands)
                except _LOST:
                    if not repeatable:
                        raise
                    return await self._send(commands)
        except _REFUSED as error:
            raise unavailable(self._address, error) from None

    async def _send(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        if len(commands) == 1:
            return [await self._client.execute_command(*commands[0])]
        pipeline = self._client.pipeline(transaction=True)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = await pipeline.execute()
        return replies


class AsyncHints:
    """Shortens the wait between two polls; whatever fails here is no more than a longer wait."""

    def __init__(self, client: Any, channel: str) -> None:
        self._client = client
        self._channel = channel
        self._subscribed: PubSub | None = None

    async def wait(self, seconds: float) -> None:
        """Return at a hint, or after so many seconds."""
        try:
            await self._heard(seconds)
        except _REFUSED:
            await self.drop()
            await asyncio.sleep(seconds)

    async def drop(self) -> None:
        """Let the subscription go; the next wait makes a new one."""
        if self._subscribed is not None:
            subscribed, self._subscribed = self._subscribed, None
            with contextlib.suppress(*_REFUSED):
                await subscribed.aclose()  # type: ignore[no-untyped-call]

    async def _heard(self, seconds: float) -> None:
        if self._subscribed is None:
            self._subscribed = PubSub(self._client.connection_pool)
            # the word that it is subscribed is a hint too: something may have changed before
            await self._subscribed.subscribe(self._channel)
        await self._subscribed.get_message(timeout=seconds)
