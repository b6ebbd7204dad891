"""The connection to Redis: whom it lets in, whom it refuses, and what it never says."""

import ssl
import subprocess
from collections.abc import Awaitable
from pathlib import Path

import pytest

from rollbackd.connections.redis import RedisConnection, Script
from rollbackd.errors import PermanentError, RollbackdError, TemporaryError
from rollbackd.stores.redis import RedisStore
from tests.backends import RedisBackend, redis_cli
from tests.connections.calls import fails_soon, opened, recovers
from tests.services.polling import eventually
from tests.services.processes import free_port
from tests.services.redis import Redis
from tests.stores.samples import alert_entry

pytestmark = pytest.mark.services

SECRET = "hunter2-and-more"


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    request += ["-nodes", "-days", "2", "-subj", "/CN=redis", "-keyout", str(key)]
    request += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate)]
    subprocess.run(request, check=True, capture_output=True)
    return certificate, key


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--maxmemory-policy", "allkeys-lru"], "maxmemory-policy is `allkeys-lru`"),
        (["--appendonly", "no"], "set `appendonly yes` there, or `wait_replicas` here"),
    ],
)
async def test_a_server_that_forgets_is_refused(
    tmp_path: Path, options: list[str], reason: str
) -> None:
    """One that may evict keys, and for the store one that keeps nothing."""
    async with Redis(tmp_path, options=options) as server:
        with pytest.raises(PermanentError) as caught:
            async with opened(server.url) as connection:
                await RedisStore.open(connection)
        assert reason in str(caught.value)


async def test_the_password_comes_from_a_file_and_can_be_changed(tmp_path: Path) -> None:
    """It is read at each connect; until both sides have the new one, the error passes."""
    password_file = tmp_path / "password"
    password_file.write_text(f"{SECRET}\n")
    async with Redis(tmp_path / "redis") as server:
        redis_cli(server, "CONFIG", "SET", "requirepass", SECRET)
        async with opened(server.url, password_file=password_file) as connection:
            await connection.ping()
            redis_cli(server, "-a", SECRET, "CONFIG", "SET", "requirepass", "changed")
            redis_cli(server, "-a", "changed", "CLIENT", "KILL", "TYPE", "normal")
            texts = set()

            async def refused() -> bool:
                texts.add(str(await fails_soon(connection.ping())))
                return any("refused the credentials" in text for text in texts)

            await eventually(refused, within_seconds=5)
            password_file.write_text("changed")
            await recovers(connection.ping)
        redis_cli(server, "-a", "changed", "CONFIG", "SET", "requirepass", "")


async def test_tls_checks_the_server_by_the_context_that_is_given(tmp_path: Path) -> None:
    """The same server is refused by a context that does not know its certificate."""
    certificate, key = self_signed(tmp_path)
    port = free_port()
    options = ["--tls-port", str(port), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    async with Redis(tmp_path / "redis", options=options):
        url = f"rediss://127.0.0.1:{port}"
        trusted = ssl.create_default_context(cafile=certificate)
        async with opened(url, tls=trusted) as connection:
            await (await RedisStore.open(connection)).accept([alert_entry()])
        with pytest.raises(TemporaryError, match="cannot be reached"):
            await RedisConnection.open(url)


async def test_no_secret_is_in_an_error(tmp_path: Path) -> None:
    """Neither the password, nor what was sent, nor a URL that carries one."""
    errors: list[RollbackdError] = []

    async def collect(call: Awaitable[object], wanted: type[RollbackdError]) -> None:
        with pytest.raises(wanted) as caught:
            await call
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        errors.append(caught.value)

    url = f"redis://user:{SECRET}@127.0.0.1:1/0"
    for bad in (url, f"http://{SECRET}", f"redis://:{SECRET}@/", f"redis://h:{SECRET}/"):
        await collect(RedisConnection.open(bad), PermanentError)
    await collect(RedisConnection.open("redis://127.0.0.1:1", password=SECRET), TemporaryError)
    async with Redis(tmp_path) as server:
        async with opened(server.url) as connection:
            redis_cli(server, "SET", SECRET, "x")
            await collect(connection.write(("LPUSH", SECRET, SECRET)), PermanentError)
            await collect(connection.write((SECRET, SECRET)), PermanentError)
            broken = Script(f"return redis.error_reply('{SECRET}')")
            await collect(connection.write(("EVAL", broken.text, 0)), PermanentError)
            redis_cli(server, "CONFIG", "SET", "requirepass", "other")
        await collect(RedisConnection.open(server.url), PermanentError)
        await collect(RedisConnection.open(server.url, password=SECRET), PermanentError)
        await collect(
            RedisConnection.open(server.url, username="rb", password=SECRET), PermanentError
        )
        missing = tmp_path / SECRET
        await collect(RedisConnection.open(server.url, password_file=missing), PermanentError)
    for error in errors:
        assert SECRET not in repr(error) + str(error)


async def test_a_closed_connection_does_not_come_back(backend: RedisBackend) -> None:
    """redis-py would connect again at the next command."""
    connection = await RedisConnection.open(backend.url)
    await connection.close()
    await connection.close()
    with pytest.raises(TemporaryError, match="is closed"):
        await connection.ping()
