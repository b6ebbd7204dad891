"""One Redis server, and the only policy by which this program talks to it.

redis-py repeats every command up to ten times by default, also one that had taken effect, and may
take a minute to give up. Here a read is tried three times and a change once, all within two
seconds; a change that can be repeated says so itself, by an op id or by a version.
"""

import asyncio
import hashlib
import ssl
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import redis.exceptions
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.credentials import CredentialProvider
from redis.maint_notifications import MaintNotificationsConfig

from rollbackd.errors import PermanentError, RollbackdError, TemporaryError

Argument = str | bytes | int | float
Command = tuple[Argument, ...]

_SOCKET_SECONDS: Final = 1.0
_DEADLINE_SECONDS: Final = 2.0
_POOL_SIZE: Final = 16
_REPLICATION_MS: Final = 500
_WAITS: Final = "rollbackd:waits"

#: What the first word of a server's refusal says about trying again.
_PASSING: Final = frozenset({
    "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY",
    "TRYAGAIN",
})  # fmt: skip


class Script:
    """A Lua script that stands in a file beside the adapter that runs it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def load(cls, package: str, name: str) -> Self:
        """The script `name.lua` of a package."""
        return cls(resources.files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8"))

    def call(self, keys: Sequence[str], *arguments: Argument) -> Command:
        """The command that runs it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


class RedisConnection:
    """Two pools on one server: one for reads, which may be repeated, and one for changes.

    Only TemporaryError and PermanentError come out, with nothing in their text that was sent.
    """

    def __init__(self, address: str, pool_options: dict[str, Any]) -> None:
        self.address = address
        self._admitted = False
        self._closed = False
        self._users = 0
        self._scripts: dict[str, None] = {}
        retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.2), 2)
        self._reader = _client(retry, pool_options)
        self._writer = _client(Retry(NoBackoff(), 0), pool_options)

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        password_file: Path | None = None,
        tls: ssl.SSLContext | None = None,
        may_evict: bool = False,
    ) -> Self:
        """Connect to `redis://host:port/db`, or `rediss://` for TLS.

        The password file is read at each connect, so that a password can be changed. Raises
        PermanentError when the server refuses us, or may evict keys where that would lose
        state of ours; TemporaryError when it cannot be reached.
        """
        address, options = _parse(url, tls)
        options["credential_provider"] = _Credentials(username, password, password_file)
        connection = cls(address, options)
        try:
            if may_evict:
                await connection.read("PING")
                connection._admitted = True
            else:
                await connection._check_server()
        except BaseException:
            await connection.close()
            raise
        return connection

    async def use(self, *scripts: Script) -> None:
        """Count one more user, and load its scripts into the server."""
        self._scripts |= dict.fromkeys(script.text for script in scripts)
        await self._load_scripts()
        self._users += 1

    async def release(self) -> None:
        """Count one user less; the last one closes the connection."""
        self._users -= 1
        if self._users <= 0:
            await self.close()

    async def read(self, *command: Argument) -> Any:
        """The reply to a command that changes nothing."""
        (reply,) = await self._execute(self._reader, [command])
        return reply

    async def read_many(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands that change nothing, seen at one point in time."""
        return await self._execute(self._reader, commands, atomic=True) if commands else []

    async def write(self, *commands: Command, wait_replicas: int = 0) -> list[Any]:
        """The replies to commands, sent once and in order.

        With `wait_replicas`, TemporaryError when fewer have the change within half a second; it
        stands on the server all the same.
        """
        sent = [*commands]
        if wait_replicas:
            # since Redis 7.2 WAIT looks at this connection's last write: a repetition has none
            sent += [("INCR", _WAITS), ("WAIT", wait_replicas, _REPLICATION_MS)]
        try:
            replies = await self._execute(self._writer, sent)
        except _ScriptsForgottenError:
            # the server has restarted: no script has run, and what is sent along may be repeated
            await self._load_scripts()
            replies = await self._execute(self._writer, sent)
        if not wait_replicas:
            return replies
        *replies, _, acknowledged = replies
        if acknowledged < wait_replicas:
            raise TemporaryError(
                f"Redis `{self.address}` has the change, but fewer than {wait_replicas}"
                " replicas have acknowledged it"
            )
        return replies

    async def ping(self) -> None:
        """Raise TemporaryError when the server does not answer."""
        await self.write(("PING",))

    async def close(self) -> None:
        """Close both pools. Idempotent."""
        self._closed = True
        await self._reader.aclose()
        await self._writer.aclose()

    async def keeps_writes(self) -> bool:
        """Whether the server writes an append-only file; True when it does not say."""
        info = await self.read("INFO", "persistence")
        return bool(info.get("aof_enabled", 1))

    async def _check_server(self) -> None:
        info = await self.read("INFO", "memory")
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise PermanentError(
                f"Redis `{self.address}` may evict keys (maxmemory-policy is `{policy}`);"
                " set it to `noeviction`"
            )
        self._admitted = True

    async def _load_scripts(self) -> None:
        await self._execute(self._writer, [("SCRIPT LOAD", text) for text in self._scripts])

    async def _execute(
        self, client: Any, commands: Sequence[Command], *, atomic: bool = False
    ) -> list[Any]:
        if self._closed:
            # redis-py would connect anew
            raise TemporaryError(f"the connection to Redis `{self.address}` is closed")
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                if len(commands) == 1:
                    return [await client.execute_command(*commands[0])]
                pipeline = client.pipeline(transaction=atomic)
                for command in commands:
                    pipeline.execute_command(*command)
                replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except (redis.exceptions.RedisError, OSError) as error:
            raise self._translated(error) from None
        for reply in replies:
            if isinstance(reply, redis.exceptions.RedisError):
                raise self._translated(reply)
        return replies

    def _translated(self, error: Exception) -> Exception:
        # a server quotes what it was sent, so its text goes no further than the first word
        where = f"Redis `{self.address}`"
        match error:
            case redis.exceptions.NoScriptError():
                return _ScriptsForgottenError(f"{where} has forgotten a script")
            case redis.exceptions.AuthenticationError():
                message = f"{where} refused the credentials; check the user name and the password"
                # once they were good, it is a rotation whose other half is still to come
                return TemporaryError(message) if self._admitted else PermanentError(message)
            case redis.exceptions.NoPermissionError():
                return PermanentError(f"{where} denies a command to this user; check its ACL")
            case redis.exceptions.ReadOnlyError():
                return TemporaryError(f"{where} is a replica now and takes no writes")
            case redis.exceptions.OutOfMemoryError():
                return TemporaryError(f"{where} is out of memory", delay_ms=5_000)
            case redis.exceptions.ResponseError():
                return self._refusal(error)
            case redis.exceptions.DataError():
                return PermanentError(f"{where} cannot be sent such a value")
            case TimeoutError() | redis.exceptions.TimeoutError():
                return TemporaryError(f"{where} did not answer in time")
            case _:
                return TemporaryError(f"{where} cannot be reached")

    def _refusal(self, error: redis.exceptions.ResponseError) -> RollbackdError:
        words = str(error).split(maxsplit=1)
        code = words[0] if words and words[0].isalpha() and words[0].isupper() else "ERR"
        message = f"Redis `{self.address}` refused a command: {code}"
        return TemporaryError(message) if code in _PASSING else PermanentError(message)


class _ScriptsForgottenError(TemporaryError):
    """EVALSHA of a script that the server does not have."""


class _Credentials(CredentialProvider):
    """A user name and a password, read anew for each connect when it stands in a file."""

    def __init__(
        self, username: str | None, password: str | None, password_file: Path | None
    ) -> None:
        self._username = username
        self._password = password
        self._file = password_file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """What AUTH is sent; an empty tuple sends none."""
        password = self._password
        if self._file is not None:
            try:
                password = self._file.read_text(encoding="utf-8").strip()
            except OSError:
                raise redis.exceptions.AuthenticationError("no password file") from None
        if password is None:
            return ()  # type: ignore[return-value]  # redis-py sends AUTH only for a truthy tuple
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The same."""
        return self.get_credentials()


class _TLSConnection(Connection):
    """redis-py builds a TLS context from file names only; this takes one as it is."""

    def __init__(self, *, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self._context = context

    def _connection_arguments(self) -> dict[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._context}


def _client(retry: Retry, options: dict[str, Any]) -> Redis:
    return Redis.from_pool(
        BlockingConnectionPool(
            max_connections=_POOL_SIZE,
            timeout=_SOCKET_SECONDS,
            socket_timeout=_SOCKET_SECONDS,
            socket_connect_timeout=_SOCKET_SECONDS,
            retry=retry,
            protocol=2,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            client_name="rollbackd",
            **options,
        )
    )


def _parse(url: str, tls: ssl.SSLContext | None) -> tuple[str, dict[str, Any]]:
    try:
        parts = urlsplit(url)
        host, port, database = parts.hostname, parts.port or 6379, int(parts.path[1:] or 0)
    except ValueError:
        parts, host, port, database = urlsplit(""), None, 0, 0
    if parts.scheme not in {"redis", "rediss"} or not host:
        # not quoted: a password may stand in it
        raise PermanentError("the Redis URL must read `redis://host:port/db` or `rediss://...`")
    if parts.username or parts.password:
        raise PermanentError("the Redis URL must not carry credentials; give them by file")
    options: dict[str, Any] = {"host": host, "port": port, "db": database}
    if parts.scheme == "rediss":
        options["connection_class"] = _TLSConnection
        options["context"] = tls or ssl.create_default_context()
    return f"{host}:{port}", options
