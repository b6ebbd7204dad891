"""The harness of what levers act upon: each server does real work, and comes back."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from openfeature import api

from tests.services.availability import Component, require
from tests.services.fixtures import FlagdFactory
from tests.services.haproxy import HAProxy
from tests.services.milvus import Milvus
from tests.services.polling import eventually
from tests.services.processes import HOST, free_port
from tests.services.proxy import FaultProxy
from tests.services.unleash import Unleash

pytestmark = pytest.mark.services


async def test_haproxy_follows_its_map_and_its_servers(haproxy: HAProxy) -> None:
    """The runtime API turns a host to the other backend, and takes a server out."""
    assert (await haproxy.routes("app")).startswith("blue")
    await haproxy.runtime(f"add map {haproxy.map_file} app green")
    assert {await haproxy.routes("app") for _ in range(4)} == set(haproxy.backends["green"])
    await haproxy.runtime("disable server green/green1")
    assert {await haproxy.routes("app") for _ in range(4)} == {"green2"}
    assert await haproxy.routes("another") in haproxy.backends["blue"]


async def test_haproxy_starts_from_its_files(haproxy: HAProxy) -> None:
    """`restart` and `kill` forget what the runtime API did, and read the map file anew."""
    await haproxy.runtime(f"add map {haproxy.map_file} app green")
    await haproxy.restart()
    assert (await haproxy.routes("app")).startswith("blue")
    haproxy.map_file.write_text("app green\n")
    haproxy.kill()
    await haproxy.start()
    assert (await haproxy.routes("app")).startswith("green")


async def test_the_proxy_stands_before_a_unix_socket(haproxy: HAProxy, tmp_path: Path) -> None:
    """A command whose answer is lost was carried out; a refused one finds no server."""
    async with FaultProxy(haproxy.socket, path=tmp_path / "proxy.sock") as proxy:
        assert proxy.path is not None
        proxy.drop_replies()
        reader, writer = await asyncio.open_unix_connection(proxy.path)
        writer.write(b"show map\n")
        assert await reader.read() == b""
        writer.close()
        assert proxy.hits
        await proxy.refuse()
        with pytest.raises(OSError, match=r"No such file|refused"):
            await asyncio.open_unix_connection(proxy.path)
        await proxy.accept()
        proxy.heal()
        reader, writer = await asyncio.open_unix_connection(proxy.path)
        writer.write(b"show info\n")
        assert (await reader.read()).startswith(b"Name: HAProxy")
        writer.close()


def milvus_client(uri: str, seconds: float = 20) -> Any:
    """Made in the test's thread, since importing pymilvus takes half a second."""
    from pymilvus import MilvusClient, MilvusException  # noqa: PLC0415

    for _ in range(5):
        # a server that is busy takes the client's keepalives for too many pings
        with contextlib.suppress(MilvusException):
            return MilvusClient(uri, timeout=seconds)
    return MilvusClient(uri, timeout=seconds)


async def test_milvus_keeps_aliases_over_a_stop_and_a_kill(tmp_path: Path) -> None:
    """An alias that was turned answers searches from its new collection, also after each blow."""
    require(Component.MILVUS)
    async with Milvus(tmp_path) as server:
        client = milvus_client(server.uri)
        for number, name in enumerate(("old", "new")):
            client.create_collection(name, dimension=2)
            client.insert(name, [{"id": number, "vector": [1.0, 0.0]}])
        client.create_alias("old", "live")
        assert client.search("live", data=[[1.0, 0.0]])[0][0]["id"] == 0
        client.alter_alias("new", "live")
        client.close()

        await server.restart()
        server.kill()
        await server.start()
        client = milvus_client(server.uri)
        assert client.describe_alias("live")["collection_name"] == "new"
        client.load_collection("new")
        assert client.search("live", data=[[1.0, 0.0]])[0][0]["id"] == 1
        client.close()


async def test_the_proxy_stands_before_milvus(milvus: Milvus) -> None:
    """With its reply lost, a call times out at the client though the alias was turned."""
    from grpc import RpcError  # noqa: PLC0415

    async with FaultProxy(milvus.address) as proxy:
        # the client blocks, so it works in a thread while the proxy works in the loop
        proxied = await asyncio.to_thread(milvus_client, f"http://{proxy.address}")
        direct = milvus_client(milvus.uri)
        for name in ("proxied_old", "proxied_new"):
            direct.create_collection(name, dimension=2)
        direct.create_alias("proxied_old", "proxied")
        proxy.drop_replies()
        with pytest.raises(RpcError, match="DEADLINE_EXCEEDED"):
            await asyncio.to_thread(proxied.alter_alias, "proxied_new", "proxied", timeout=0.5)
        assert proxy.hits
        assert direct.describe_alias("proxied")["collection_name"] == "proxied_new"
        proxy.heal()
        seen = await asyncio.to_thread(proxied.describe_alias, "proxied", timeout=10)
        assert seen["collection_name"] == "proxied_new"
        proxied.close()
        direct.close()


async def admin(
    unleash: Unleash, method: str, path: str, body: dict[str, Any] | None = None
) -> Any:
    headers = {"Authorization": unleash.admin_token}
    async with (
        aiohttp.ClientSession(unleash.url, headers=headers) as session,
        session.request(method, f"/api/admin/{path}", json=body) as response,
    ):
        assert response.status < 300, await response.text()
        return await response.json() if response.content_type == "application/json" else None


async def evaluated(unleash: Unleash, flag: str) -> bool:
    """What an SDK of the environment `development` is told."""
    headers = {"Authorization": unleash.client_token}
    async with (
        aiohttp.ClientSession(unleash.url, headers=headers) as session,
        session.get("/api/client/features") as response,
    ):
        features = (await response.json())["features"]
        (found,) = [feature for feature in features if feature["name"] == flag]
        return bool(found["enabled"])


async def test_unleash_switches_a_flag_and_keeps_it(unleash: Unleash) -> None:
    """A flag that was switched on is on for SDKs, also after the server and the database died."""
    features = "projects/default/features"
    await admin(unleash, "POST", features, {"name": "kept", "type": "kill-switch"})
    await admin(unleash, "POST", f"{features}/kept/environments/development/on")

    async def is_on() -> bool:
        return await evaluated(unleash, "kept")

    await eventually(is_on, within_seconds=10)
    unleash.kill()
    unleash.database.kill()
    await unleash.database.start()
    await unleash.start()
    assert await is_on()
    await unleash.restart()
    assert await is_on()


def flag_file(default: str) -> dict[str, Any]:
    flag = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": default}
    return {"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": {"kept": flag}}


async def test_the_official_evaluator_follows_a_flag_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flagd provider's own evaluator, without a flagd, sees what a flag file says next."""
    from openfeature.contrib.provider.flagd import FlagdProvider  # noqa: PLC0415
    from openfeature.contrib.provider.flagd.config import ResolverType  # noqa: PLC0415

    flags = tmp_path / "flags.json"
    flags.write_text(json.dumps(flag_file("on")))
    monkeypatch.setenv("FLAGD_OFFLINE_POLL_MS", "20")
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(flags))
    api.set_provider(provider, "flag-file")
    try:
        client = api.get_client("flag-file")

        async def is_on() -> bool:
            return client.get_boolean_value("kept", default_value=False)

        async def is_off() -> bool:
            return not client.get_boolean_value("kept", default_value=True)

        await eventually(is_on, within_seconds=10)
        replacement = tmp_path / "flags.json.new"
        replacement.write_text(json.dumps(flag_file("off")))
        replacement.replace(flags)
        await eventually(is_off, within_seconds=10)
    finally:
        provider.shutdown()


@contextlib.asynccontextmanager
async def http_folder(folder: Path) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_static("/", folder)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, HOST, free_port())
    await site.start()
    try:
        yield site.name
    finally:
        await runner.cleanup()


async def ofrep_value(url: str) -> bool:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/ofrep/v1/evaluate/flags/kept", json={"context": {}}) as response,
    ):
        return bool((await response.json())["value"])


@pytest.mark.parametrize("served", ["by file", "by http"])
async def test_flagd_follows_its_source(
    flagd_factory: FlagdFactory, tmp_path: Path, served: str
) -> None:
    """A changed default variant is what OFREP clients get, from either kind of source."""
    flags = tmp_path / "flags.json"
    flags.write_text(json.dumps(flag_file("on")))
    async with http_folder(tmp_path) as url:
        source = f"file:{flags}" if served == "by file" else f"{url}/flags.json"
        async with flagd_factory(source) as flagd:
            assert await ofrep_value(flagd.ofrep_url)
            flags.write_text(json.dumps(flag_file("off")))

            async def is_off() -> bool:
                return not await ofrep_value(flagd.ofrep_url)

            await eventually(is_off, within_seconds=20)
            await flagd.restart()
            assert await is_off()
