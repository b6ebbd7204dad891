"""The connection of the levers on Redis."""

from pathlib import Path

import pytest
import redis.asyncio

from rollbackd.connections.redis import Script
from rollbackd.errors import PermanentError
from rollbackd.levers.redis_server import RedisServer
from rollbackd.settings.redis_endpoint import RedisEndpoint
from tests.services.redis import Redis

pytestmark = pytest.mark.services

_SCRIPT = Script("return 1")


async def test_a_user_who_may_load_no_script_leaves_no_connection(
    redis_server: Redis, tmp_path: Path
) -> None:
    """Each try of an incident would leave some behind, until the server takes no more."""
    password_file = tmp_path / "password"
    password_file.write_text("x")
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await client.execute_command(
            "ACL", "SETUSER", "scriptless", "on", ">x", "~*", "+@all", "-script"
        )
        server = RedisServer(
            RedisEndpoint(
                url=f"redis://{redis_server.address}/0",
                username="scriptless",
                password_file=password_file,
            ),
            _SCRIPT,
        )
        for _ in range(3):
            with pytest.raises(PermanentError, match="denies a command"):
                await server.opened()
        assert [each for each in await client.client_list() if each["user"] == "scriptless"] == []
        await server.close()


async def test_a_closed_one_opens_anew(redis_server: Redis) -> None:
    """As after a reload that came while it was opening."""
    server = RedisServer(RedisEndpoint(url=f"redis://{redis_server.address}/0"), _SCRIPT)
    first = await server.opened()
    assert await server.opened() is first
    await server.close()
    await server.close()
    second = await server.opened()
    assert second is not first
    assert await second.write(_SCRIPT.call([])) == [1]
    await server.close()
