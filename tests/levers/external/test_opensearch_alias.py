"""What is special about aliases of OpenSearch and Elasticsearch."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from rollbackd.clock import ManualClock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.opensearch_alias import (
    OpenSearchAlias,
    OpenSearchAliasSettings,
    alias_actions,
)
from rollbackd.levers.opensearch_api import OpenSearchApi, OpenSearchEndpoint, Product
from rollbackd.model.levers import Applied, Target
from rollbackd.ports import Controls, TargetMovedError
from tests.levers.external.opensearch_alias_world import (
    OPTIONS,
    ElasticsearchAliasWorld,
    OpenSearchAliasWorld,
)
from tests.levers.external.serving import serving
from tests.levers.external.world import SCOPE, op

of_both = pytest.mark.parametrize(
    "world_type", [OpenSearchAliasWorld, ElasticsearchAliasWorld], indirect=True
)


class TestRealServer:
    """What needs the cluster itself to be believed."""

    pytestmark: ClassVar = [of_both, pytest.mark.services, pytest.mark.timeout(180)]

    async def settings(self, world: OpenSearchAliasWorld, **changed: Any) -> OpenSearchAlias:
        """The lever of the world under other settings; the world closes the first one."""
        assert isinstance(world.lever, OpenSearchAlias)
        await world.lever.close()
        world.build(replace(world.lever._settings, **changed))
        return world.lever

    async def test_an_alias_that_moves_meanwhile_is_left_alone(
        self, world: OpenSearchAliasWorld
    ) -> None:
        """The cluster itself compares, between the read and the write."""
        now = await world.lever.observe(world.target)
        await world.put(world.other)
        with pytest.raises(TargetMovedError, match="no longer leads to `docs_vb`"):
            await world.lever.move(world.target, now, world.good, op())
        assert await world.held() == world.other

    async def test_without_must_exist_it_is_found_by_reading_back(
        self, world: OpenSearchAliasWorld
    ) -> None:
        """An old cluster takes both calls, and then the alias leads to two."""
        lever = await self.settings(world, compare_and_set="off")
        await world.cluster.point("docs_live", "docs_vb")
        change = await world.change()
        await world.cluster.point("docs_live", "docs_vc")
        await lever.move(world.target, change.before, world.good, op())
        with pytest.raises(PermanentError, match="leads to 2 indices, docs_va, docs_vc"):
            await lever.verify(change)

    async def test_what_the_alias_said_comes_back(self, world: OpenSearchAliasWorld) -> None:
        """Also when somebody changed the filter in between."""
        change = await world.change()
        applied = await world.lever.apply(change, op())
        await world.cluster.point("docs_live", "docs_va", filter={"term": {"tenant": "two"}})
        assert await world.lever.revert(applied, op("INC-1:2"))
        assert await world.cluster.held("docs_live") == {"docs_vb": OPTIONS}

    async def test_several_indices_have_to_be_allowed(self, world: OpenSearchAliasWorld) -> None:
        """Then they move together."""
        await world.cluster.point("docs_live", "docs_vb", "docs_vc", index_routing="1")
        with pytest.raises(PermanentError, match="several_indices: true"):
            await world.lever.observe(world.target)
        lever = await self.settings(world, several_indices=True)
        now = await lever.observe(world.target)
        assert now.value == {"index": "docs_vb,docs_vc"}
        assert now.facts["documents"] == 4
        await lever.move(world.target, now, {"index": "docs_va,docs_vc"}, op())
        held, routed = await world.cluster.held("docs_live"), {"index_routing": "1"}
        assert held == {"docs_va": routed, "docs_vc": routed}

    async def test_a_set_of_several_needs_the_setting(self, world: OpenSearchAliasWorld) -> None:
        """It was recorded by a lever that had it."""
        change = replace(await world.change(), after={"index": "docs_va,docs_vc"})
        with pytest.raises(PermanentError, match="several_indices: true"):
            await world.lever.preflight(change)

    @pytest.mark.parametrize("index", ["docs_vx", "docs_live"])
    async def test_only_an_index_can_be_pointed_at(
        self, world: OpenSearchAliasWorld, index: str
    ) -> None:
        """An alias is answered by what is behind it, and is no index."""
        change = replace(await world.change(), after={"index": index})
        assert "does not exist" in await world.lever.preflight(change)

    async def test_a_closed_index_is_refused(self, world: OpenSearchAliasWorld) -> None:
        """It cannot be searched."""
        change = await world.change()
        await world.cluster.call("POST", "/docs_va/_close")
        try:
            assert "`docs_va` " in (objection := await world.lever.preflight(change))
            assert "is red" in objection or "index_closed_exception" in objection
        finally:
            await world.cluster.call("POST", "/docs_va/_open")

    async def test_a_red_index_is_refused_and_can_be_left(
        self, world: OpenSearchAliasWorld
    ) -> None:
        """A shard of it is nowhere."""
        change = await world.change()
        await world.cluster.call("DELETE", "/docs_va")
        nowhere = {"settings": {"index.routing.allocation.require._name": "nowhere"}}
        await world.cluster.call("PUT", "/docs_va?wait_for_active_shards=0", nowhere)
        try:
            assert "is red" in await world.lever.preflight(change)
            await world.put(world.good)
            observed = await world.lever.observe(world.target)
            assert (observed.value, observed.facts) == (world.good, {})
        finally:
            await world.cluster.call("DELETE", "/docs_va")

    async def test_an_index_that_is_gone_by_then_is_said(self, world: OpenSearchAliasWorld) -> None:
        """And the alias stays where it was."""
        now = await world.lever.observe(world.target)
        with pytest.raises(PermanentError, match="index_not_found_exception"):
            await world.lever.move(world.target, now, {"index": "docs_vx"}, op())
        assert await world.held() == world.bad

    @pytest.mark.parametrize(
        "name", ["", "docs_*", "_all", "-docs", "docs_live,other", "a b", ".."]
    )
    async def test_one_alias_is_named(self, world: OpenSearchAliasWorld, name: str) -> None:
        """No pattern, no list, no word that means all of them."""
        with pytest.raises(PermanentError, match="is not the name of one"):
            await world.lever.observe(replace(world.target, name=name))

    async def test_there_has_to_be_an_alias(self, world: OpenSearchAliasWorld) -> None:
        """None is made; an index is none."""
        for name in ("nothing", "docs_va"):
            with pytest.raises(PermanentError, match="there is no alias"):
                await world.lever.observe(replace(world.target, name=name))

    async def test_reverting_twice_after_a_lost_answer(self, world: OpenSearchAliasWorld) -> None:
        """What was given back is not given back again."""
        applied: Applied = await world.lever.apply(await world.change(), op())
        for _ in range(2):
            assert await world.lever.revert(applied, op("INC-1:2"))
        assert await world.held() == world.bad


@pytest.mark.parametrize(
    ("held", "wanted", "said", "added"),
    [
        ({"b": {}}, ["a"], {}, [("a", {})]),
        ({"b": OPTIONS}, ["a"], {}, [("a", OPTIONS)]),
        ({"b": OPTIONS}, ["a"], {"a": {"routing": "2"}}, [("a", {"routing": "2"})]),
        ({"b": {}, "c": {}}, ["c"], {}, []),
        ({"b": {"is_write_index": True}, "c": {}}, ["a"], {}, [("a", {"is_write_index": True})]),
        ({"b": {"f": 1}}, ["a", "b"], {}, [("a", {"f": 1})]),
    ],
)
def test_what_is_added_takes_over_what_was_said(
    held: dict[str, Any],
    wanted: list[str],
    said: dict[str, Any],
    added: list[tuple[str, dict[str, Any]]],
) -> None:
    """Of what is removed, unless it is known what to say."""
    actions = alias_actions("live", held, wanted, said, must_exist=True)
    assert [each["add"] for each in actions if "add" in each] == [
        {"index": index, "alias": "live", **options} for index, options in added
    ]
    assert [each["remove"] for each in actions if "remove" in each] == [
        {"index": index, "alias": "live", "must_exist": True}
        for index in sorted(held.keys() - set(wanted))
    ]


@pytest.mark.parametrize(
    ("held", "wanted", "problem"),
    [
        ({"b": {"f": 1}, "c": {"f": 2}}, ["a"], "differ in filter or routing"),
        ({"b": {"is_write_index": True}}, ["a", "c"], "which index `live` is to write to"),
    ],
)
def test_what_cannot_be_taken_over_is_refused(
    held: dict[str, Any], wanted: list[str], problem: str
) -> None:
    """Nothing is guessed."""
    with pytest.raises(PermanentError, match=problem):
        alias_actions("live", held, wanted, {}, must_exist=True)


@pytest.mark.parametrize(
    ("name", "version", "compares", "patience"),
    [
        ("opensearch", (1, 3), False, "master_timeout"),
        ("opensearch", (2, 11), False, "cluster_manager_timeout"),
        ("opensearch", (2, 12), True, "cluster_manager_timeout"),
        ("opensearch", (3, 0), True, "cluster_manager_timeout"),
        ("elasticsearch", (7, 8), False, "master_timeout"),
        ("elasticsearch", (7, 9), True, "master_timeout"),
        ("elasticsearch", (9, 1), True, "master_timeout"),
    ],
)
def test_products_differ(
    *, name: str, version: tuple[int, int], compares: bool, patience: str
) -> None:
    """In two things that matter here."""
    product = Product(name, version)
    assert (product.compares_removals, product.patience) == (compares, patience)


class Peer:
    """An Elasticsearch as far as a change needs one; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.root: Any = {"version": {"number": "8.14.3"}}
        self.acknowledged = True

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        if request.path == "/":
            return web.json_response(self.root)
        return web.json_response({"acknowledged": self.acknowledged})


@pytest.fixture
async def peer() -> Peer:
    return Peer()


@pytest.fixture
async def url(peer: Peer) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", peer.handle)
    async with serving(application) as url:
        yield url


@pytest.mark.parametrize(
    ("settings", "authorization"),
    [
        ({"token_file": "secret"}, "ApiKey hunter2"),
        ({"token_file": "secret", "token_scheme": "Bearer"}, "Bearer hunter2"),
        ({"username": "me", "password_file": "secret"}, "Basic bWU6aHVudGVyMg=="),
        ({}, None),
    ],
)
async def test_a_change_says_who_and_why(
    peer: Peer, url: str, tmp_path: Path, settings: dict[str, Any], authorization: str | None
) -> None:
    """And how long it may wait in the cluster: not longer than who asked."""
    (tmp_path / "secret").write_text("hunter2\n")
    given = {
        key: tmp_path / value if key.endswith("_file") else value for key, value in settings.items()
    }
    api = OpenSearchApi(OpenSearchEndpoint(url=url, timeout=2_000, **given))
    await api.change("POST", "/_aliases", op(), json={"actions": []})
    await api.change("POST", "/_aliases", op(), json={"actions": []})
    await api.close()
    assert [request.path for request in peer.asked] == ["/", "/_aliases", "/_aliases"]
    change = peer.asked[1]
    assert change.headers.get("Authorization") == authorization
    assert change.headers["X-Opaque-Id"] == "rollbackd INC-1:1 INC-1"
    assert dict(change.query) == {"timeout": "2000ms", "master_timeout": "2000ms"}


async def test_a_change_that_not_all_have_acknowledged_is_tried_again(peer: Peer, url: str) -> None:
    """Whether it stands is found out by reading."""
    peer.acknowledged = False
    api = OpenSearchApi(OpenSearchEndpoint(url=url))
    with pytest.raises(TemporaryError, match="not every node"):
        await api.change("POST", "/_aliases", op())
    await api.close()


@pytest.mark.parametrize(
    ("root", "problem"),
    [
        ({"version": {"number": "eight"}}, "names no version: `eight`"),
        ({"tagline": "You Know, for Search"}, "odd"),
    ],
)
async def test_an_unknown_product_is_said(peer: Peer, url: str, root: Any, problem: str) -> None:
    """Before anything is changed."""
    peer.root = root
    api = OpenSearchApi(OpenSearchEndpoint(url=url))
    with pytest.raises(PermanentError, match=problem):
        await api.change("POST", "/_aliases", op())
    await api.close()
    assert [request.path for request in peer.asked] == ["/"]


async def test_an_odd_alias_is_said(peer: Peer, url: str, controls: Controls) -> None:
    """A gateway that answers 200 to everything is no cluster."""
    del peer
    lever = OpenSearchAlias(
        "docs", OpenSearchAliasSettings(url=url), Surroundings(controls, ManualClock())
    )
    with pytest.raises(PermanentError, match="the cluster answered something odd"):
        await lever.observe(Target(lever="docs", scope=SCOPE, name="docs_live"))
    await lever.close()


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"username": "me"}, "belong together"),
        ({"password_file": Path("p")}, "belong together"),
        ({"username": "me", "password_file": Path("p"), "token_file": Path("t")}, "not both"),
        (
            {"url": "http://search.example", "username": "me", "password_file": Path("p")},
            "in the clear",
        ),
    ],
)
def test_settings_that_are_not_sound_are_refused(settings: dict[str, Any], problem: str) -> None:
    """When the levers file is read."""
    with pytest.raises(ValueError, match=problem):
        OpenSearchAliasSettings(**{"url": "https://search.example", **settings})


def test_secrets_are_named_by_file_only() -> None:
    """Nothing that is printed of the settings has one."""
    fields = {field.name for field in msgspec.structs.fields(OpenSearchAliasSettings)}
    assert {"password", "token", "api_key"}.isdisjoint(fields)
