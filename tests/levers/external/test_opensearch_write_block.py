"""What is special about write blocks of OpenSearch and Elasticsearch."""

import pytest
from aiohttp import web
from msgspec.structs import replace

from rollbackd.clock import ManualClock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.opensearch_write_block import (
    OpenSearchWriteBlock,
    OpenSearchWriteBlockSettings,
)
from rollbackd.model.levers import Change, Target
from rollbackd.ports import Controls
from tests.levers.external.opensearch_write_block_world import (
    ElasticsearchWriteBlockWorld,
    OpenSearchWriteBlockWorld,
)
from tests.levers.external.serving import serving
from tests.levers.external.world import SCOPE, op


@pytest.mark.services
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "world_type", [OpenSearchWriteBlockWorld, ElasticsearchWriteBlockWorld], indirect=True
)
class TestRealServer:
    """What needs the cluster itself to be believed."""

    async def test_what_was_blocked_is_given_back_wherever_the_alias_leads(
        self, world: OpenSearchWriteBlockWorld
    ) -> None:
        """The flip that follows a freeze moves the alias away from the blocked indices."""
        change = await world.change()
        applied = await world.lever.apply(change, op())
        await world.cluster.point("docs_live", "docs_vc")
        assert await world.lever.verify(change)
        assert await world.lever.revert(applied, op("INC-1:2"))
        assert await world.held() == world.bad
        assert not await world.cluster.call("GET", "/docs_vc/_settings/index.blocks.write")

    async def test_a_block_of_somebody_else_stays(self, world: OpenSearchWriteBlockWorld) -> None:
        """Only what was added is taken away."""
        await world.put(world.other)
        applied = await world.lever.apply(await world.change(), op())
        assert await world.held() == world.good
        assert await world.lever.revert(applied, op("INC-1:2"))
        assert await world.held() == world.other

    async def test_writes_are_refused_while_it_stands(
        self, world: OpenSearchWriteBlockWorld
    ) -> None:
        """And taken before and after; searches go on, and the probe leaves nothing behind."""
        change = await world.change()
        with pytest.raises(TemporaryError, match="`docs_va` still takes writes"):
            await world.lever.seen_by_readers(change)
        applied = await world.lever.apply(change, op())
        assert await world.lever.verify(change)
        with pytest.raises(OSError, match="cluster_block_exception"):
            await world.cluster.fill("docs_va")
        assert (await world.cluster.call("GET", "/docs_va/_count"))["count"] == 2
        await world.lever.revert(applied, op("INC-1:2"))
        await world.cluster.fill("docs_va")
        assert (await world.cluster.call("GET", "/docs_va/_count"))["count"] == 2

    async def test_a_block_that_could_not_be_taken_away_is_not_added(
        self, world: OpenSearchWriteBlockWorld
    ) -> None:
        """An index that is read-only as a whole lets nobody change its settings."""
        read_only = "index.blocks.read_only"
        await world.cluster.call("PUT", "/docs_vb/_settings", {read_only: True})
        try:
            objection = await world.lever.preflight(await world.change())
            assert "`docs_vb` has `index.blocks.read_only`" in objection
        finally:
            await world.cluster.call("PUT", "/docs_vb/_settings", {read_only: None})

    async def test_an_index_that_is_gone_has_nothing_to_give_back(
        self, world: OpenSearchWriteBlockWorld
    ) -> None:
        """It is reported, and the incident can end."""
        applied = await world.lever.apply(await world.change(), op())
        await world.cluster.call("DELETE", "/docs_vb")
        assert not await world.lever.revert(applied, op("INC-1:2"))
        await world.cluster.create("docs_vb")

    async def test_several_indices_have_to_be_allowed(
        self, world: OpenSearchWriteBlockWorld
    ) -> None:
        """An alias may lead to more than was thought."""
        assert isinstance(world.lever, OpenSearchWriteBlock)
        await world.lever.close()
        world.build(replace(world.lever._settings, several_indices=False))
        with pytest.raises(PermanentError, match="leads to 2 indices, docs_va, docs_vb"):
            await world.lever.observe(world.target)
        seen = await world.lever.observe(replace(world.target, name="docs_va"))
        assert seen.value == {"docs_va": False}

    async def test_there_has_to_be_an_index(self, world: OpenSearchWriteBlockWorld) -> None:
        """A misspelt one is not blocked in silence."""
        with pytest.raises(PermanentError, match="there is no index or alias `docs_vx`"):
            await world.lever.observe(replace(world.target, name="docs_vx"))

    @pytest.mark.parametrize("name", ["", "*", "_all", "docs_*"])
    async def test_never_all_of_them(self, world: OpenSearchWriteBlockWorld, name: str) -> None:
        """No pattern, and no word that means every index."""
        with pytest.raises(PermanentError, match="is not the name of one"):
            await world.lever.observe(replace(world.target, name=name))


async def test_a_probe_that_may_not_write_proves_nothing(controls: Controls) -> None:
    """The user's missing right is not the block."""
    application = web.Application()

    async def settings(_: web.Request) -> web.Response:
        return web.json_response({"docs_vb": {"settings": {"index.blocks.write": "true"}}})

    async def refused(_: web.Request) -> web.Response:
        error = {"type": "security_exception", "reason": "no permissions"}
        return web.json_response({"error": error, "status": 403}, status=403)

    application.router.add_get("/{index}/_settings/{names}", settings)
    application.router.add_put("/{index}/_doc/{id}", refused)
    async with serving(application) as url:
        lever = OpenSearchWriteBlock(
            "writes",
            OpenSearchWriteBlockSettings(url=url, probe=True),
            Surroundings(controls, ManualClock()),
        )
        target = Target(lever="writes", scope=SCOPE, name="docs_vb")
        observed = await lever.observe(target)
        change = Change(target=target, before=observed, after={"docs_vb": True})
        with pytest.raises(PermanentError, match="security_exception; may this user write"):
            await lever.verify(change)
        await lever.close()
