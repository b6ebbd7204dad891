"""The protocol on the wire: what a caller sends, and exactly what it gets."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession

from rollbackd.http import HttpServer, Limits
from rollbackd.http.ofrep import MAX_BODY_BYTES
from rollbackd.model.controls import Control
from rollbackd.model.labels import Scope
from rollbackd.settings import Permission, TokenSettings
from tests.http.conftest import Serve
from tests.http.operations import FakeOperations
from tests.services.polling import eventually

ALL = "/ofrep/v1/evaluate/flags"
ONE = f"{ALL}/canary"
HERE = {"service": "rag", "region": "eu-1"}
KILL: dict[str, object] = {"baseline_weight": 1.0, "canary_weight": 0.0, "global_off": True}
HALF: dict[str, object] = {"baseline_weight": 0.5, "canary_weight": 0.5, "global_off": False}
TOKEN = "the-readers-token-0123456789"


@pytest.fixture(autouse=True)
def killed(operations: FakeOperations) -> None:
    """One flag that an incident has killed, and one that is split."""
    operations.switches = {
        "flag:canary": Control(
            name="flag:canary", intent=HALF, trip=KILL, version=4, epoch=9, incident_id="inc-1"
        ),
        "flag:split": Control(name="flag:split", intent=HALF, version=1),
    }


async def asked(
    client: ClientSession, path: str, body: Any = None, **headers: str
) -> tuple[int, Any]:
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    async with client.post(path, data=data, headers=headers) as response:
        text = await response.read()
        return response.status, json.loads(text) if text else None


async def test_a_killed_flag_says_false_and_off_and_static(client: ClientSession) -> None:
    assert await asked(client, ONE, {"context": {**HERE, "targetingKey": "alice"}}) == (
        200,
        {
            "key": "canary",
            "value": False,
            "reason": "STATIC",
            "variant": "off",
            "metadata": {
                "scope": "rag/eu-1",
                "control": "flag:canary",
                "version": 4,
                "tripped": True,
                "incident_id": "inc-1",
            },
        },
    )


@pytest.mark.parametrize("user", [None, "", "alice", 42, ["alice"], {"id": 1}, "x" * 5_000])
@pytest.mark.parametrize("extra", [{}, {"plan": {"deep": [1, None]}}, {"key": "canary"}])
async def test_a_killed_flag_is_off_whatever_else_is_in_the_context(
    client: ClientSession, user: object, extra: dict[str, object]
) -> None:
    context = {**extra, **HERE, "targetingKey": user}
    status, flag = await asked(client, ONE, {"context": context, "other": 1})
    assert (status, flag["value"], flag["variant"]) == (200, False, "off")


async def test_the_scope_is_the_one_of_the_context(
    client: ClientSession, operations: FakeOperations
) -> None:
    for context in (HERE, {"service": "rag"}, {"service": "rag", "region": None}):
        await asked(client, ONE, {"context": context})
    assert operations.calls == [
        ("last_known", Scope("rag", "eu-1")),
        ("last_known", Scope("rag", "global")),
        ("last_known", Scope("rag", "global")),
    ]


@pytest.mark.parametrize("path", [ONE, ALL])
@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (None, "INVALID_CONTEXT", "no `service`"),
        (b"", "INVALID_CONTEXT", "no `service`"),
        ({}, "INVALID_CONTEXT", "no `service`"),
        ({"context": None}, "INVALID_CONTEXT", "no `service`"),
        ({"context": {}}, "INVALID_CONTEXT", "no `service`"),
        ({"context": {"region": "eu-1"}}, "INVALID_CONTEXT", "no `service`"),
        ({"context": []}, "INVALID_CONTEXT", "not an object"),
        ({"context": "rag"}, "INVALID_CONTEXT", "not an object"),
        ({"context": {"service": 7}}, "INVALID_CONTEXT", "have to be text"),
        ({"context": {"service": "rag", "region": 7}}, "INVALID_CONTEXT", "have to be text"),
        ({"context": {"service": "rag", "region": ""}}, "INVALID_CONTEXT", "not a scope name"),
        ({"context": {"service": "a b"}}, "INVALID_CONTEXT", "not a scope name"),
        ({"context": {"service": "rag/eu-1"}}, "INVALID_CONTEXT", "not a scope name"),
        ([], "PARSE_ERROR", "not an object"),
        (b"null", "PARSE_ERROR", "not an object"),
        (b'{"context": {', "PARSE_ERROR", "not JSON"),
        (b'{"context": {"a": "\xff"}}', "PARSE_ERROR", "not JSON"),
        (b'{"context": {"a": NaN}}', "PARSE_ERROR", "not JSON"),
        (b"[" * 60_000, "PARSE_ERROR", "not JSON"),
        (b" " * (MAX_BODY_BYTES + 1), "PARSE_ERROR", "over 65536 bytes"),
    ],
)
async def test_a_request_that_cannot_be_used_is_400_with_code_and_details(
    client: ClientSession, operations: FakeOperations, path: str, body: Any, code: str, said: str
) -> None:
    """Details are never missing: without them the Python provider fails in another way."""
    status, answer = await asked(client, path, body)
    assert (status, answer["errorCode"]) == (400, code)
    assert said in answer["errorDetails"]
    assert answer.get("key") == ("canary" if path == ONE else None)
    assert operations.calls == []


async def test_a_compressed_body_is_400_too(client: ClientSession) -> None:
    status, answer = await asked(client, ONE, b"x", **{"Content-Encoding": "gzip"})
    assert (status, answer["errorCode"]) == (400, "PARSE_ERROR")


async def test_a_body_that_never_ends_is_400_and_not_503(serve: Serve) -> None:
    server = await serve(limits=Limits(body_seconds=0.05))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"POST {ONE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode())
    status = await asyncio.wait_for(reader.readline(), 10)
    assert status == b"HTTP/1.1 400 Bad Request\r\n"
    writer.close()


async def test_a_flood_of_events_does_not_reach_the_flags(
    serve: Serve, operations: FakeOperations
) -> None:
    """While ingest is out of memory and says 503, evaluations are answered."""
    server = await serve(
        limits=Limits(buffered_bytes=1_000, drain_seconds=0.1), max_body_bytes=1_000
    )
    operations.hang = True
    event = json.dumps({"event": "metric.sample", "service": "rag", "values": {"x": 1}})
    body = event.ljust(900).encode()
    async with ClientSession(f"http://127.0.0.1:{server.port}") as session:
        held = asyncio.create_task(session.post("/api/v1/events", data=body))

        async def held_back() -> bool:
            return bool(operations.calls)

        await eventually(held_back, within_seconds=10)
        assert (await asked(session, "/api/v1/events", body))[0] == 503
        assert (await asked(session, ONE, {"context": HERE}))[0] == 200
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)


async def test_an_unknown_key_is_404_with_code_and_details(client: ClientSession) -> None:
    for key in ("reranker", "alias:docs_live", "%00", "é", "%ED%A0%80", "%ff", "a" * 4_000):
        status, answer = await asked(client, f"{ALL}/{key}", {"context": HERE})
        assert (status, answer["errorCode"]) == (404, "FLAG_NOT_FOUND"), key
        assert "scope `rag/eu-1`" in answer["errorDetails"]


async def test_a_split_flag_without_a_user_is_400(client: ClientSession) -> None:
    status, answer = await asked(client, f"{ALL}/split", {"context": HERE})
    assert (status, answer["errorCode"]) == (400, "TARGETING_KEY_MISSING")
    status, answer = await asked(
        client, f"{ALL}/split", {"context": {**HERE, "targetingKey": "alice"}}
    )
    assert (status, answer["reason"]) == (200, "SPLIT")


async def test_bulk_has_every_flag_and_says_which_one_needs_a_user(client: ClientSession) -> None:
    status, answer = await asked(client, ALL, {"context": HERE})
    assert status == 200
    flags = {flag["key"]: flag for flag in answer["flags"]}
    assert sorted(flags) == [
        "cache", "cache_generation", "canary", "consumers", "degrade", "pins", "split",
        "throttle", "writes",
    ]  # fmt: skip
    assert flags["split"].pop("errorDetails")
    assert flags["split"] == {"key": "split", "errorCode": "TARGETING_KEY_MISSING"}
    assert (flags["canary"]["value"], flags["degrade"]["value"]) == (False, 0)


class Poll:
    """Bulk evaluations of one user, as a client provider makes them."""

    def __init__(self, client: ClientSession, user: str = "alice") -> None:
        self._client = client
        self._body = {"context": {**HERE, "targetingKey": user}}

    async def __call__(self, known: str = "") -> tuple[int, str, bytes]:
        headers = {"If-None-Match": known} if known else {}
        async with self._client.post(ALL, json=self._body, headers=headers) as response:
            return response.status, response.headers["ETag"], await response.read()


async def test_a_bulk_answer_that_has_not_changed_is_304(
    client: ClientSession, operations: FakeOperations
) -> None:
    poll = Poll(client)
    status, tag, _ = await poll()
    assert status == 200
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        assert await poll(known) == (304, tag, b"")
    operations.switches["degrade"] = Control(name="degrade", trip={"level": 2}, version=1)
    status, changed, body = await poll(tag)
    assert status == 200
    assert changed != tag
    assert b'"L2"' in body


async def test_the_tag_is_of_the_answer_of_this_user(client: ClientSession) -> None:
    """Else a shared cache or a change of user would keep somebody on another's arm."""
    tags = {(await Poll(client, f"user-{number}")())[1] for number in range(40)}
    assert len(tags) == 2
    alice, other = tags
    assert (await Poll(client, "user-0")(alice))[0] != (await Poll(client, "user-0")(other))[0]


@pytest.fixture
async def guarded(serve: Serve, tmp_path: Path) -> HttpServer:
    (tmp_path / "reader").write_text(TOKEN)
    (tmp_path / "writer").write_text("the-writers-token-0123456789")
    entries = [("reader", Permission.READ), ("writer", Permission.INGEST)]
    tokens = [
        TokenSettings(name=name, file=tmp_path / name, permissions=frozenset({permission}))
        for name, permission in entries
    ]
    return await serve(tokens=tokens)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"X-API-Key": TOKEN}, 200),
        ({"X-API-Key": f" {TOKEN} "}, 200),
        ({"X-API-Key": ""}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"X-API-Key": f"Bearer {TOKEN}"}, 401),
        ({"X-API-Key": "the-writers-token-0123456789"}, 403),
        ({"X-API-Key": TOKEN, "Authorization": "Bearer wrong"}, 401),
        ({"X-API-Key": TOKEN, "Authorization": f"Basic {TOKEN}"}, 401),
    ],
)
@pytest.mark.parametrize("path", [ONE, ALL])
async def test_a_token_may_come_as_bearer_or_as_api_key(
    guarded: HttpServer, path: str, headers: dict[str, str], status: int
) -> None:
    async with ClientSession(f"http://127.0.0.1:{guarded.port}") as session:
        assert (await asked(session, path, {"context": HERE}, **headers))[0] == status


async def test_an_evaluation_is_a_post(client: aiohttp.ClientSession) -> None:
    for path in (ONE, ALL):
        async with client.get(path) as response:
            assert response.status == 405
