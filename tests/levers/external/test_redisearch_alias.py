"""What is special about aliases of the Redis query engine."""

from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.clock import ManualClock
from rollbackd.connections.redis import RedisConnection
from rollbackd.errors import PermanentError
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.redisearch_alias import RedisearchAlias, RedisearchAliasSettings
from rollbackd.model.levers import Target
from rollbackd.ports import Controls, TargetMovedError
from tests.levers.external.redisearch_alias_world import RedisearchAliasWorld
from tests.levers.external.world import SCOPE, op
from tests.services.redis import Redis

pytestmark = [pytest.mark.services, pytest.mark.timeout(60)]
of_redisearch = pytest.mark.parametrize("world_type", [RedisearchAliasWorld], indirect=True)


@of_redisearch
async def test_an_alias_that_moves_meanwhile_is_left_alone(world: RedisearchAliasWorld) -> None:
    """The server compares, between the read and the write."""
    now = await world.lever.observe(world.target)
    await world.put(world.other)
    with pytest.raises(TargetMovedError):
        await world.lever.move(world.target, now, world.good, op())
    assert await world.held() == world.other


@of_redisearch
async def test_it_goes_without_a_script(world: RedisearchAliasWorld) -> None:
    """Where the server lets none call `FT.*`; then nothing is compared."""
    assert isinstance(world.lever, RedisearchAlias)
    await world.call("ACL", "SETUSER", "lever", "-evalsha", "-script|load")
    await world.lever.close()
    world.build(replace(world.lever._settings, compare_and_set=False))
    change = await world.change()
    await world.lever.apply(change, op())
    assert await world.lever.verify(change)
    assert await world.held() == world.good


@of_redisearch
async def test_an_index_that_is_still_built_is_refused(
    world: RedisearchAliasWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not hold yet cannot be found."""
    change, read = await world.change(), RedisConnection.read

    async def while_it_is_built(connection: RedisConnection, *command: str) -> Any:
        reply = await read(connection, *command)
        if command == ("FT.INFO", "docs_vA"):
            reply[reply.index(b"indexing") + 1] = b"1"
        return reply

    monkeypatch.setattr(RedisConnection, "read", while_it_is_built)
    assert "is still being built" in await world.lever.preflight(change)


@of_redisearch
@pytest.mark.parametrize("index", ["docs_vX", "docs_live"])
async def test_only_an_index_can_be_pointed_at(world: RedisearchAliasWorld, index: str) -> None:
    """An alias is answered by what is behind it, and is no index."""
    change = replace(await world.change(), after={"index": index})
    assert "does not exist" in await world.lever.preflight(change)


@of_redisearch
@pytest.mark.parametrize(
    ("name", "problem"),
    [("docs_vA", "is an index and not an alias"), ("docs_nothing", "no alias `docs_nothing`")],
)
async def test_there_has_to_be_an_alias(
    world: RedisearchAliasWorld, name: str, problem: str
) -> None:
    """None is made."""
    with pytest.raises(PermanentError, match=problem):
        await world.lever.observe(replace(world.target, name=name))


@of_redisearch
async def test_the_hash_is_a_key_beside_the_index(world: RedisearchAliasWorld) -> None:
    """Without one there is none to record."""
    await world.put(world.good)
    assert (await world.lever.observe(world.target)).facts == {"documents": 2, "index_hash": "a1"}
    await world.put(world.bad)
    assert (await world.lever.observe(world.target)).facts == {"documents": 2}


async def test_a_redis_without_the_engine_is_said(redis_server: Redis, controls: Controls) -> None:
    """For good: trying again does not load a module."""
    lever = RedisearchAlias(
        "docs", RedisearchAliasSettings(url=redis_server.url), Surroundings(controls, ManualClock())
    )
    with pytest.raises(PermanentError, match="refused a command"):
        await lever.observe(Target(lever="docs", scope=SCOPE, name="docs_live"))
    await lever.close()
