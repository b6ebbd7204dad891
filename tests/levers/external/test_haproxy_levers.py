"""What is special about HAProxy: a real one, whose API cannot compare."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.haproxy_api import HAProxyApi, HAProxySettings, word_of
from rollbackd.levers.haproxy_map import HAProxyMapSettings
from rollbackd.levers.haproxy_server import HAProxyServerSettings
from rollbackd.model.levers import Change, Observation, Target
from rollbackd.ports import Controls, TargetMovedError
from tests.levers.external.haproxy_map_world import HAProxyMapWorld
from tests.levers.external.haproxy_server_world import HAProxyServerWorld
from tests.levers.external.haproxy_world import HAProxyWorld
from tests.levers.external.world import SCOPE, op
from tests.services.haproxy import HAProxy
from tests.services.processes import HOST

pytestmark = pytest.mark.services


W = TypeVar("W", bound=HAProxyWorld)


@asynccontextmanager
async def opened(
    world_type: type[W], haproxy: HAProxy, folder: Path, controls: Controls
) -> AsyncIterator[W]:
    """A world of one test, at what the rollout set."""
    world = world_type(folder, {"haproxy": haproxy}, controls)
    await world.start()
    try:
        yield world
    finally:
        assert world.proxy is not None
        await world.proxy.refuse()


@pytest.fixture
async def docs(
    haproxy: HAProxy, tmp_path: Path, controls: Controls
) -> AsyncIterator[HAProxyMapWorld]:
    """The host `docs` is green's."""
    async with opened(HAProxyMapWorld, haproxy, tmp_path, controls) as world:
        yield world


@pytest.fixture
async def blue(
    haproxy: HAProxy, tmp_path: Path, controls: Controls
) -> AsyncIterator[HAProxyServerWorld]:
    """Both servers of blue are ready."""
    async with opened(HAProxyServerWorld, haproxy, tmp_path, controls) as world:
        yield world


def target(name: str) -> Target:
    return Target(lever="under_test", scope=SCOPE, name=name)


async def test_requests_follow_the_map_at_once(docs: HAProxyMapWorld) -> None:
    """The next request goes to the recorded backend; other keys are not touched."""
    assert await docs.served_by("docs") == {"green1", "green2"}
    await docs.lever.apply(await docs.change(), op())
    assert await docs.served_by("docs") == {"blue1", "blue2"}
    map_ = await docs.haproxy.runtime(f"show map {docs.haproxy.map_file}")
    assert [line.split()[1:] for line in map_.splitlines()] == [["docs", "blue"], ["web", "blue"]]


async def test_the_unix_socket_does_as_well(docs: HAProxyMapWorld) -> None:
    """With nothing in between."""
    docs.build(HAProxyMapSettings(socket=docs.haproxy.socket, map=str(docs.haproxy.map_file)))
    await docs.lever.apply(await docs.change(), op())
    assert await docs.held() == docs.good


async def test_a_change_whose_reply_was_lost_is_found_done(docs: HAProxyMapWorld) -> None:
    """`set map` itself was sent, and its answer never came."""
    change = await docs.change()
    proxy, api = docs.proxy, docs.lever._api  # type: ignore[attr-defined]
    assert proxy is not None
    set_map: Callable[..., object] = api.change

    async def struck(*words: str) -> None:
        proxy.drop_replies()
        await set_map(*words)  # type: ignore[misc]

    api.change = struck
    with pytest.raises(TemporaryError, match="the answer was cut"):
        await docs.lever.apply(change, op())
    proxy.heal()
    assert await docs.held() == docs.good
    assert (await docs.lever.apply(change, op())).replayed


@pytest.mark.parametrize("world_type", [HAProxyMapWorld, HAProxyServerWorld])
async def test_what_changed_right_before_the_change_is_left_alone(
    world_type: type[HAProxyWorld], haproxy: HAProxy, tmp_path: Path, controls: Controls
) -> None:
    """It is looked at once more after the fence, because HAProxy does not compare."""
    async with opened(world_type, haproxy, tmp_path, controls) as world:
        now = await world.lever.observe(world.target)
        await world.put(world.other)
        with pytest.raises(TargetMovedError):
            await world.lever.move(world.target, now, world.good, op())
        assert await world.held() == world.other


async def test_a_restart_forgets_and_is_seen(docs: HAProxyMapWorld) -> None:
    """The running HAProxy is moved, not its file: drift says so."""
    docs.haproxy.map_file.write_text("docs green\n")
    change = await docs.change()
    await docs.lever.apply(change, op())
    assert await docs.lever.verify(change)
    await docs.haproxy.restart()
    assert not await docs.lever.verify(change)


async def test_a_key_that_is_there_twice_is_refused(docs: HAProxyMapWorld) -> None:
    """With two values it is not known which one is meant; the same twice is one."""
    await docs.done(f"add map {docs.haproxy.map_file} docs green")
    assert (await docs.change()).before.value == docs.bad
    await docs.done(f"add map {docs.haproxy.map_file} docs red")
    with pytest.raises(PermanentError, match="has 2 values for `docs`"):
        await docs.change()


async def test_a_key_and_a_map_have_to_be_there(docs: HAProxyMapWorld) -> None:
    """Nothing is added."""
    with pytest.raises(PermanentError, match="has no value for `gone`"):
        await docs.lever.observe(target("gone"))
    docs.build(HAProxyMapSettings(socket=docs.haproxy.socket, map="/nowhere.map"))
    with pytest.raises(PermanentError, match=r"no map `/nowhere\.map`"):
        await docs.lever.observe(docs.target)


@pytest.mark.parametrize(("checked", "refused"), [(True, True), (False, False)])
async def test_a_value_that_is_no_backend_is_refused(
    docs: HAProxyMapWorld, *, checked: bool, refused: bool
) -> None:
    """Unless the map holds something else."""
    settings = HAProxyMapSettings(
        socket=docs.haproxy.socket,
        map=str(docs.haproxy.map_file),
        values_are_backends=checked,
    )
    docs.build(settings)
    change = replace(await docs.change(), after={"value": "nowhere"})
    if not refused:
        assert await docs.lever.preflight(change) == ""
        return
    with pytest.raises(PermanentError, match="Can't find backend"):
        await docs.lever.preflight(change)


async def test_what_was_recorded_by_another_lever_does_not_fit(docs: HAProxyMapWorld) -> None:
    """The levers file gave the name to something else since."""
    change = replace(await docs.change(), after={"state": "ready"})
    assert "no value of a map" in await docs.lever.preflight(change)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a;shutdown sessions",
        "a\nshow info",
        "a\\ b",
        "#1",
        "<<",
        "a<<",
        '"a"',
        "a\t",
        "ä",
    ],
)
def test_what_would_be_read_as_more_than_one_word_is_refused(text: str) -> None:
    """A recorded value and a name in the tree go into a command."""
    with pytest.raises(PermanentError, match="cannot stand in a command"):
        word_of(text)


async def test_a_name_is_never_a_command(docs: HAProxyMapWorld) -> None:
    """Nothing is sent."""
    with pytest.raises(PermanentError, match="cannot stand in a command"):
        await docs.lever.observe(target("docs; set server blue/blue1 state maint"))
    assert await docs.served_by("web") == {"blue1", "blue2"}


async def moving(world: HAProxyServerWorld, moves: str) -> None:
    """The same server by its other property."""
    settings = HAProxyServerSettings(socket=world.haproxy.socket, moves=moves)  # type: ignore[arg-type]
    world.build(settings)


async def test_a_server_that_drains_gets_no_requests(blue: HAProxyServerWorld) -> None:
    """And gets them again when it is given back."""
    applied = await blue.lever.apply(await blue.change(), op())
    assert await blue.served_by("any") == {"blue1"}
    assert await blue.lever.revert(applied, op("INC-1:2"))
    assert await blue.served_by("any") == {"blue1", "blue2"}


async def test_a_weight_is_moved_too(blue: HAProxyServerWorld) -> None:
    """From what it is to what was recorded."""
    await moving(blue, "weight")
    observed = await blue.lever.observe(blue.target)
    assert observed.value == {"weight": 100}
    change = Change(target=blue.target, before=observed, after={"weight": 0})
    assert await blue.lever.preflight(change) == ""
    applied = await blue.lever.apply(change, op())
    assert await blue.served_by("any") == {"blue1"}
    assert await blue.lever.revert(applied, op("INC-1:2"))
    assert (await blue.lever.observe(blue.target)).value == {"weight": 100}


@pytest.mark.parametrize(
    ("moves", "after"), [("state", "drain"), ("state", "maint"), ("weight", 0)]
)
@pytest.mark.parametrize("other", ["state maint", "state drain", "weight 0"])
async def test_the_last_server_is_never_taken_out(
    blue: HAProxyServerWorld, moves: str, after: object, other: str
) -> None:
    """Whatever took the others out."""
    await moving(blue, moves)
    await blue.done(f"set server blue/blue1 {other}")
    observed = await blue.lever.observe(blue.target)
    change = Change(target=blue.target, before=observed, after={moves: after})
    assert "the last server of `blue`" in await blue.lever.preflight(change)


@pytest.mark.parametrize(
    ("moves", "after"),
    [("state", "gone"), ("state", 1), ("weight", 257), ("weight", -1), ("weight", True)],
)
async def test_what_is_no_state_and_no_weight_is_refused(
    blue: HAProxyServerWorld, moves: str, after: object
) -> None:
    """Before HAProxy is asked."""
    await moving(blue, moves)
    before = Observation(value={moves: "x"}, version=1)
    change = Change(target=blue.target, before=before, after={moves: after})
    assert "is no " in await blue.lever.preflight(change)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("blue", "named `BACKEND/SERVER`"),
        ("/blue1", "named `BACKEND/SERVER`"),
        ("blue/blue9", "no server `blue9`"),
        ("nowhere/blue1", "Can't find backend"),
    ],
)
async def test_a_server_has_to_be_there(blue: HAProxyServerWorld, name: str, said: str) -> None:
    """By its backend and its own name."""
    with pytest.raises(PermanentError, match=said):
        await blue.lever.observe(target(name))


async def answering(answer: bytes) -> tuple[asyncio.Server, HAProxyApi]:
    """Somebody who is no HAProxy, or an odd one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    return server, HAProxyApi(HAProxySettings(address=f"{HOST}:{port}"))


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (b"", TemporaryError, "was cut"),
        (b"1\n# be_id", TemporaryError, "was cut"),
        (b"Permission denied\n\n", PermanentError, "needs `level admin`"),
        (b"2\n# be_id\n\n", PermanentError, "backend `blue`: 2 # be_id"),
        (b"1\n# srv_name\nblue1\n\n", PermanentError, "not as documented"),
        (b"1\n# srv_name srv_admin_state\nblue1\n\n", PermanentError, "not as documented"),
        (b"x" * ((4 << 20) + 1) + b"\n\n", PermanentError, "is over"),
    ],
)
async def test_an_odd_answer_is_named(answer: bytes, error: type[Exception], said: str) -> None:
    """Neither believed nor a crash."""
    server, api = await answering(answer)
    async with server:
        with pytest.raises(error, match=said):
            await api.servers("blue")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "one of `socket` and `address`"),
        ({"socket": Path("/s"), "address": "h:1"}, "one of `socket` and `address`"),
        ({"address": "nowhere"}, "not `HOST:PORT`"),
        ({"address": "a b:1"}, "not `HOST:PORT`"),
        ({"socket": Path("/s"), "timeout": 6_000}, "above `5s`"),
    ],
)
def test_settings_say_one_way_there(settings: dict[str, object], said: str) -> None:
    """And a time that an act has."""
    with pytest.raises(ValueError, match=said):
        HAProxySettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("map_", ["/etc/my maps/hosts.map", "hosts.map;show", "a<<b"])
def test_a_map_that_no_command_can_name_is_refused_when_it_is_configured(map_: str) -> None:
    """And not in the incident."""
    with pytest.raises(ValueError, match="cannot stand in a command"):
        HAProxyMapSettings(address="localhost:9999", map=map_)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0.0.0.0"])
def test_addresses_where_no_haproxy_is_are_refused(host: str) -> None:
    """As for HTTP."""
    with pytest.raises(ValueError, match="no address that may be called"):
        HAProxySettings(address=f"{host}:9999")
