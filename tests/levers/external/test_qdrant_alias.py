"""What is special about aliases of Qdrant, and what all levers on aliases look at first."""

from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from rollbackd.clock import ManualClock
from rollbackd.errors import PermanentError
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.qdrant_alias import QdrantAlias, QdrantAliasSettings
from rollbackd.model.levers import Target
from rollbackd.ports import Controls
from tests.levers.external.qdrant_alias_world import QdrantAliasWorld
from tests.levers.external.serving import serving
from tests.levers.external.world import SCOPE, op

of_qdrant = pytest.mark.parametrize("world_type", [QdrantAliasWorld], indirect=True)


@of_qdrant
@pytest.mark.parametrize(
    ("facts", "objection"),
    [
        ({}, ""),
        ({"documents": 2}, ""),
        ({"documents": 1}, ""),
        ({"documents": 3}, "documents is `2` instead of `3`"),
        ({"index_hash": "b2"}, "index_hash is `a1` instead of `b2`"),
        ({"shards": 4}, "shards is not known instead of `4`"),
    ],
)
async def test_recorded_facts_are_compared(
    world: QdrantAliasWorld, facts: dict[str, object], objection: str
) -> None:
    """A collection may have grown since, and may not have shrunk."""
    said = await world.lever.preflight(replace(await world.change(), facts=facts))
    assert said.endswith(objection)
    assert bool(said) is bool(objection)


@of_qdrant
@pytest.mark.parametrize(
    ("status", "objection"),
    [("green", ""), ("yellow", ""), ("grey", ""), ("red", "is red"), ("odd", "is odd")],
)
async def test_a_collection_that_is_not_searchable_is_refused(
    world: QdrantAliasWorld, status: str, objection: str
) -> None:
    """One that is being optimized is searchable."""
    change = await world.change()
    world.server.collections["docs_vA"]["status"] = status
    assert (await world.lever.preflight(change)).endswith(objection)


@of_qdrant
@pytest.mark.parametrize("name", ["docs_vX", "docs_live"])
async def test_only_a_collection_can_be_pointed_at(world: QdrantAliasWorld, name: str) -> None:
    """Qdrant finds a collection by an alias too, and refuses an alias to an alias."""
    change = replace(await world.change(), after={"collection": name})
    assert "does not exist" in await world.lever.preflight(change)


@of_qdrant
async def test_what_was_recorded_must_have_the_shape_of_an_alias(world: QdrantAliasWorld) -> None:
    """A set that was recorded of another lever names no collection."""
    change = replace(await world.change(), after={"index": "docs_vA"})
    assert "has a `collection`" in await world.lever.preflight(change)


@of_qdrant
async def test_facts_are_recorded_with_the_value(world: QdrantAliasWorld) -> None:
    """They are what the preflight will compare."""
    observed = await world.lever.observe(world.target)
    assert observed.facts == {"documents": 2, "index_hash": "a1"}


@of_qdrant
async def test_a_sick_collection_can_be_left(
    world: QdrantAliasWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the alias leads is known although what it leads to says nothing."""
    world.server.collections["docs_vB"] = {"points": None, "status": "green", "metadata": {}}
    observed = await world.lever.observe(world.target)
    assert (observed.value, observed.facts) == (world.bad, {})
    assert "cannot read what an alias leads to" in caplog.text


@of_qdrant
async def test_an_alias_is_never_lost(world: QdrantAliasWorld) -> None:
    """A collection that is gone when the alias is moved leaves the alias where it was."""
    change = await world.change()
    del world.server.collections["docs_vA"]
    with pytest.raises(PermanentError, match="404"):
        await world.lever.apply(change, op())
    assert await world.held() == world.bad


@of_qdrant
async def test_there_has_to_be_an_alias(world: QdrantAliasWorld) -> None:
    """None is made."""
    world.server.aliases.clear()
    with pytest.raises(PermanentError, match="no alias `docs_live`"):
        await world.lever.observe(world.target)


@of_qdrant
async def test_a_wrong_key_is_said_without_the_key(world: QdrantAliasWorld) -> None:
    """It cannot be mended by trying again."""
    (world.folder / "token").write_text("hunter3")
    with pytest.raises(PermanentError, match="403") as raised:
        await world.lever.observe(world.target)
    assert "hunter3" not in str(raised.value)


@pytest.mark.parametrize(
    "answer",
    [[], {"result": []}, {"result": {"aliases": [{"alias_name": "docs_live"}]}}, "no JSON"],
)
async def test_an_odd_answer_is_said(answer: Any, controls: Controls) -> None:
    """Never a guess."""
    application = web.Application()

    async def answered(_: web.Request) -> web.Response:
        return web.Response(text=answer) if isinstance(answer, str) else web.json_response(answer)

    application.router.add_get("/aliases", answered)
    async with serving(application) as url:
        lever = QdrantAlias(
            "docs", QdrantAliasSettings(url=url), Surroundings(controls, ManualClock())
        )
        with pytest.raises(PermanentError, match="asked for its aliases, answered something odd"):
            await lever.observe(Target(lever="docs", scope=SCOPE, name="docs_live"))
        await lever.close()
