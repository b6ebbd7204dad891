"""Work done by threads: redis-py's blocking client."""

import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Any, Final, TypeVar, cast

import redis
import redis.exceptions
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.connection import BlockingConnectionPool, SSLConnection
from redis.retry import Retry

from rollbackd.guard.address import RedisAddress
from rollbackd.guard.errors import GuardUnavailableError
from rollbackd.guard.scripts import SCRIPTS, Argument, Call
from rollbackd.guard.work import Commands, Invoke, Step, Wait, Work

T = TypeVar("T")

_REFUSED: Final = (redis.exceptions.RedisError, OSError)
_LOST: Final = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
#: A thread that waits for a hint looks this often whether it shall end.
_SLICE_SECONDS: Final = 0.1


class Connection:
    """One pool on one server. Safe for threads. Only GuardUnavailableError comes of Redis."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = str(address)
        options = address.options(tls_connection=SSLConnection)
        pool = cast("Any", BlockingConnectionPool)(**options, retry=Retry(NoBackoff(), 0))
        self._client: Any = redis.Redis.from_pool(pool)

    def run(self, work: Work[T]) -> T:
        """Do a piece of work to its end."""
        try:
            step = next(work)
            while True:
                try:
                    answer = self._perform(step)
                except BaseException as error:  # noqa: BLE001  # the work decides what to do
                    step = work.throw(error)
                else:
                    step = work.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result

    def close(self) -> None:
        """Close the pool. Idempotent."""
        self._client.close()

    def hints(self, channel: str) -> "Hints":
        """Hear of changes on a channel."""
        return Hints(self._client, channel)

    def _perform(self, step: Step) -> Any:
        match step:
            case Invoke():
                return step.function(*step.arguments)
            case Wait():
                return time.sleep(step.seconds)
            case Commands():
                return self._execute(step.commands, repeatable=True)
            case Call():
                (reply,) = self._execute([step.command()], repeatable=step.repeatable)
                return step.read(reply)

    def _execute(self, commands: Sequence[tuple[Argument, ...]], *, repeatable: bool) -> list[Any]:
        try:
            try:
                return self._send(commands)
            except redis.exceptions.NoScriptError:
                # the server is new or has restarted: the script did not run
                for script in SCRIPTS:
                    self._client.script_load(script.text)
                return self._send(commands)
            except _LOST:
                if not repeatable:
                    raise
                return self._send(commands)
        except _REFUSED as error:
            raise unavailable(self._address, error) from None

    def _send(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        if len(commands) == 1:
            return [self._client.execute_command(*commands[0])]
        pipeline = self._client.pipeline(transaction=True)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = pipeline.execute()
        return replies


class Hints:
    """Shortens the wait between two polls; whatever fails here is no more than a longer wait."""

    def __init__(self, client: Any, channel: str) -> None:
        self._client = client
        self._channel = channel
        self._subscribed: PubSub | None = None

    def wait(self, seconds: float, closing: threading.Event) -> None:
        """Return at a hint, after so many seconds, or when it is closing."""
        deadline = time.monotonic() + seconds
        while not closing.is_set() and (left := deadline - time.monotonic()) > 0:
            try:
                if self._heard(min(left, _SLICE_SECONDS)):
                    return
            except _REFUSED:
                self.drop()
                closing.wait(left)

    def drop(self) -> None:
        """Let the subscription go; the next wait makes a new one."""
        if self._subscribed is not None:
            with contextlib.suppress(*_REFUSED):
                self._subscribed.close()
            self._subscribed = None

    def _heard(self, seconds: float) -> bool:
        if self._subscribed is None:
            subscribed = PubSub(self._client.connection_pool)
            self._subscribed = subscribed
            subscribed.subscribe(self._channel)
        message: Any = self._subscribed.get_message(timeout=seconds)
        return message is not None


def unavailable(address: str, error: Exception) -> GuardUnavailableError:
    """What to raise for an error of redis-py: none of its text, which may hold what was sent."""
    return GuardUnavailableError(f"Redis `{address}` is of no use now: {type(error).__name__}")
