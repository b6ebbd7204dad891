"""What is special about aliases of Milvus, and of calls over gRPC."""

import asyncio
import base64
import importlib.util
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from msgspec.structs import replace

from rollbackd.errors import PermanentError, RollbackdError, TemporaryError
from rollbackd.levers.milvus_alias import MilvusAliasSettings, index_hash_of
from rollbackd.levers.milvus_api import MilvusApi, MilvusError
from rollbackd.levers.milvus_messages import FIELDS, MESSAGES
from rollbackd.settings.endpoints import HttpEndpoint
from tests.http.certificates import Authority
from tests.levers.external.milvus_alias_world import MilvusAliasWorld
from tests.levers.external.world import op
from tests.services.polling import eventually
from tests.services.processes import HOST

_TOKEN = "hunter2:password"
of_milvus = pytest.mark.parametrize("world_type", [MilvusAliasWorld], indirect=True)


@pytest.mark.services
@pytest.mark.timeout(120)
@of_milvus
class TestRealServer:
    """What needs Milvus itself to be believed."""

    def answer_lost(self, world: MilvusAliasWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the connection come up, and from then on no answer through."""
        open_channel, proxy = MilvusApi._channel, world.proxy
        assert proxy is not None

        async def channel(api: MilvusApi, module: Any) -> Any:
            opened = await open_channel(api, module)
            await opened.channel_ready()
            proxy.drop_replies()
            return opened

        monkeypatch.setattr(MilvusApi, "_channel", channel)

    async def test_a_move_whose_answer_is_lost_took_effect(
        self, world: MilvusAliasWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And is not sent again: the next try finds it done."""
        change = await world.change()
        with monkeypatch.context() as patched:
            self.answer_lost(world, patched)
            with pytest.raises(TemporaryError, match="asked to AlterAlias: no answer within 3 s"):
                await world.lever.move(world.target, change.before, change.after, op())
        assert await world.held() == world.good
        assert world.proxy is not None
        world.proxy.heal()
        assert (await world.lever.apply(change, op())).replayed

    async def test_a_cancelled_move_is_over(
        self, world: MilvusAliasWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing goes on behind the back of who gave up: what comes later stays."""
        change = await world.change()
        with monkeypatch.context() as patched:
            self.answer_lost(world, patched)
            move = asyncio.create_task(
                world.lever.move(world.target, change.before, change.after, op())
            )

            async def took_effect() -> bool:
                return await world.held() == world.good

            await eventually(took_effect, within_seconds=10)
            move.cancel()
            with pytest.raises(asyncio.CancelledError):
                await move
        await world.put(world.other)
        assert world.proxy is not None
        world.proxy.heal()
        assert (await world.lever.observe(world.target)).value == world.other

    async def test_a_collection_that_is_not_loaded_is_refused(
        self, world: MilvusAliasWorld
    ) -> None:
        """It cannot be searched until somebody loads it, which takes its time."""
        change = await world.change()
        await asyncio.to_thread(world.client.release_collection, "docs_vA")
        assert "is not loaded" in await world.lever.preflight(change)

    @pytest.mark.parametrize("name", ["docs_vX", "docs_live"])
    async def test_only_a_collection_can_be_pointed_at(
        self, world: MilvusAliasWorld, name: str
    ) -> None:
        """Milvus finds a collection by an alias too."""
        change = replace(await world.change(), after={"collection": name})
        assert "does not exist" in await world.lever.preflight(change)

    async def test_there_has_to_be_an_alias(self, world: MilvusAliasWorld) -> None:
        """None is made."""
        with pytest.raises(PermanentError, match="does not exist"):
            await world.lever.observe(replace(world.target, name="nothing"))
        with pytest.raises(MilvusError):
            await world.lever.move(
                replace(world.target, name="nothing"),
                await world.lever.observe(world.target),
                world.good,
                op(),
            )


def test_the_messages_are_those_of_milvus() -> None:
    """Numbers, types and whether there are several, as pymilvus has them."""
    from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2  # noqa: PLC0415

    for name in FIELDS:
        (theirs,) = (
            getattr(module, name).DESCRIPTOR.fields_by_name
            for module in (milvus_pb2, common_pb2, schema_pb2)
            if hasattr(module, name)
        )
        for field in MESSAGES[name].DESCRIPTOR.fields:
            their = theirs[field.name]
            kinds = {their.type, their.TYPE_INT32 if their.enum_type else their.type}
            assert (field.number, field.is_repeated) == (their.number, their.is_repeated)
            assert field.type in kinds


@pytest.mark.parametrize(
    ("properties", "description", "index_hash"),
    [
        ({"INDEX_HASH": "a1"}, "INDEX_HASH=b2", "a1"),
        ({}, "documents of May, INDEX_HASH=a1, 768 dimensions", "a1"),
        ({}, "INDEX_HASH: a1", "a1"),
        ({}, "OLD_INDEX_HASH=b2", ""),
        ({"other": "a1"}, "", ""),
    ],
)
def test_the_hash_is_a_property_or_stands_in_the_description(
    properties: dict[str, str], description: str, index_hash: str
) -> None:
    """Whichever the indexing job could set."""
    described = MESSAGES["DescribeCollectionResponse"](
        schema=MESSAGES["CollectionSchema"](description=description),
        properties=[MESSAGES["KeyValuePair"](key=k, value=v) for k, v in properties.items()],
    )
    assert index_hash_of(described, "INDEX_HASH") == index_hash


class Answering(grpc.GenericRpcHandler):
    """A Milvus that answers every DescribeAlias as it is told."""

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self.answer = answer
        self.metadata: dict[str, str] = {}

    def service(self, details: Any) -> Any:
        assert details.method == "/milvus.proto.milvus.MilvusService/DescribeAlias"
        return grpc.unary_unary_rpc_method_handler(
            self.handle,
            request_deserializer=MESSAGES["DescribeAliasRequest"].FromString,
            response_serializer=MESSAGES["DescribeAliasResponse"].SerializeToString,
        )

    async def handle(self, request: Any, context: Any) -> Any:
        del request
        self.metadata = dict(context.invocation_metadata())
        answered = self.answer(context)
        return await answered if asyncio.iscoroutine(answered) else answered


@asynccontextmanager
async def served(handler: Answering, credentials: Any = None) -> AsyncIterator[int]:
    server = grpc.aio.server(handlers=[handler])
    port = (
        server.add_insecure_port(f"{HOST}:0")
        if credentials is None
        else server.add_secure_port(f"{HOST}:0", credentials)
    )
    await server.start()
    try:
        yield int(port)
    finally:
        await server.stop(None)


def status(**fields: Any) -> Callable[[Any], Any]:
    answer = MESSAGES["DescribeAliasResponse"](status=MESSAGES["Status"](**fields))
    return lambda _: answer


def aborted(code: grpc.StatusCode) -> Callable[[Any], Any]:
    return lambda context: context.abort(code, f"about {_TOKEN}")


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (status(code=1600, reason="alias not found"), MilvusError, "1600: alias not found"),
        (status(error_code=1, reason="alias not exist"), MilvusError, "1: alias not exist"),
        (status(code=8, reason="rate limit", retriable=True), TemporaryError, "8: rate limit"),
        (status(code=65535, reason=f"no {_TOKEN}"), MilvusError, r"65535: no \*\*\*"),
        (aborted(grpc.StatusCode.UNAVAILABLE), TemporaryError, r"UNAVAILABLE: about \*\*\*"),
        (aborted(grpc.StatusCode.UNKNOWN), TemporaryError, "UNKNOWN"),
        (aborted(grpc.StatusCode.UNAUTHENTICATED), PermanentError, r"about \*\*\*"),
        (aborted(grpc.StatusCode.UNIMPLEMENTED), PermanentError, "UNIMPLEMENTED"),
    ],
)
async def test_what_may_pass_and_what_may_not(
    answer: Callable[[Any], Any], error: type[RollbackdError], said: str, tmp_path: Path
) -> None:
    """By Milvus's own word, or by that of gRPC; the token is in neither."""
    (tmp_path / "token").write_text(_TOKEN)
    handler = Answering(answer)
    async with served(handler) as port:
        api = MilvusApi(HttpEndpoint(url=f"http://{HOST}:{port}", token_file=tmp_path / "token"))
        with pytest.raises(error, match=said) as raised:
            await api.call("DescribeAlias", alias="docs_live")
    assert "hunter2" not in str(raised.value)
    assert handler.metadata["authorization"] == base64.b64encode(_TOKEN.encode()).decode()


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_has_to_be_trusted(tmp_path: Path, *, trusted: bool) -> None:
    """And the client shows its own where the server asks."""
    authority, stranger = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    certificate, key = authority.issue("server", "DNS:localhost")
    mine, my_key = authority.issue("client", "DNS:client")
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        authority.certificate.read_bytes(),
        require_client_auth=True,
    )
    handler = Answering(lambda _: MESSAGES["DescribeAliasResponse"](collection="docs_vA"))
    async with served(handler, credentials) as port:
        api = MilvusApi(
            HttpEndpoint(
                url=f"https://localhost:{port}",
                ca_file=authority.certificate if trusted else stranger.certificate,
                cert_file=mine,
                key_file=my_key,
            )
        )
        if trusted:
            assert (await api.call("DescribeAlias", alias="docs_live")).collection == "docs_vA"
        else:
            with pytest.raises(TemporaryError):
                await api.call("DescribeAlias", alias="docs_live")


async def test_metadata_services_are_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Link-local addresses are where they live."""

    async def resolved(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 19530))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
    with pytest.raises(PermanentError, match="no address that may be called"):
        await MilvusApi(HttpEndpoint(url="http://metadata.example:19530")).call("DescribeAlias")


@pytest.mark.parametrize("missing", ["grpc", "google.protobuf", "google"])
def test_a_missing_extra_is_said_when_the_levers_file_is_read(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """And not in the incident."""
    there = importlib.util.find_spec

    def find(name: str) -> object:
        if missing == "google" and name == "google.protobuf":
            raise ModuleNotFoundError(name)
        return None if name == missing else there(name)

    MilvusAliasSettings(url=f"http://{HOST}:19530")
    monkeypatch.setattr(importlib.util, "find_spec", find)
    with pytest.raises(ValueError, match=r"install `rollbackd\[milvus\]`"):
        MilvusAliasSettings(url=f"http://{HOST}:19530")


async def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon itself does without it."""

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(PermanentError, match=r"install `rollbackd\[milvus\]`"):
        await MilvusApi(HttpEndpoint(url=f"http://{HOST}:19530")).call("DescribeAlias")
