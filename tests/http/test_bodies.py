"""Bodies that are too big, too slow, compressed or broken; and requests that are no HTTP."""

import asyncio
import gzip
import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession

from rollbackd.http import HttpServer, Limits
from rollbackd.telemetry import Telemetry
from tests.http.conftest import Serve, requests
from tests.http.operations import FakeOperations
from tests.services.polling import eventually

MIB = 1 << 20
PATH = "/api/v1/alertmanager"


@asynccontextmanager
async def connection(
    server: HttpServer,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def head(*lines: str, path: str = PATH) -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: localhost", *lines, "", "")).encode()


@pytest.mark.parametrize("path", [PATH, "/api/v1/events"])
@pytest.mark.parametrize("chunked", [True, False])
async def test_17_mib_are_413(
    client: ClientSession, operations: FakeOperations, path: str, *, chunked: bool
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * MIB

    async with client.post(
        path, data=chunks() if chunked else io.BytesIO(b" " * 17 * MIB)
    ) as response:
        assert response.status == 413
        assert await response.json() == {"error": "the body is over 16777216 bytes"}
    assert operations.calls == []


async def test_16_mib_are_read(client: ClientSession) -> None:
    body = b'{"alerts":[]' + b" " * (16 * MIB - 13) + b"}"
    assert len(body) == 16 * MIB
    async with client.post(PATH, data=io.BytesIO(body)) as response:
        assert response.status == 200


async def test_a_command_is_bounded_more_tightly(client: ClientSession) -> None:
    body = io.BytesIO(b'{"reason": "' + b"x" * 2 * MIB + b'"}')
    headers = {"Content-Type": "application/json"}
    async with client.post("/api/v1/pause", data=body, headers=headers) as response:
        assert response.status == 413


async def test_the_limit_is_a_setting(serve: Serve) -> None:
    server = await serve(max_body_bytes=2048)
    async with ClientSession(f"http://127.0.0.1:{server.port}") as session:
        async with session.post(PATH, data=b" " * 2049) as response:
            assert response.status == 413
        async with session.post(PATH, data=b" " * 2048) as response:
            assert response.status == 400


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, gzip"])
async def test_a_compressed_body_is_415_and_never_inflated(
    client: ClientSession, operations: FakeOperations, encoding: str
) -> None:
    bomb = gzip.compress(b" " * 64 * MIB)
    headers = {"Content-Encoding": encoding}
    async with client.post(PATH, data=bomb, headers=headers) as response:
        assert response.status == 415
        assert response.headers["Accept-Encoding"] == "identity"
    assert operations.calls == []


async def test_a_body_that_comes_too_slowly_is_503(serve: Serve) -> None:
    server = await serve(limits=Limits(body_seconds=0.05, drain_seconds=0.05))
    async with connection(server) as (reader, writer):
        writer.write(head("Content-Length: 100") + b'{"alerts"')
        assert b" 503 " in await reader.readline()
        assert b"the body was not complete after 0.05 s" in await reader.read()


async def test_a_body_that_breaks_off_is_nobodys_defect(
    serve: Serve, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    server = await serve()
    async with connection(server) as (_, writer):
        writer.write(head("Content-Length: 100") + b'{"alerts"')
        await writer.drain()

    async def counted() -> float:
        return requests(telemetry, PATH, 400)

    assert await eventually(counted, within_seconds=5) == 1
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_headers_that_come_too_slowly_close_the_connection(serve: Serve) -> None:
    server = await serve(limits=Limits(idle_seconds=0.05))
    async with connection(server) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: loc")
        async with asyncio.timeout(5):
            assert await reader.read() == b""


async def test_bodies_of_all_callers_together_are_bounded(
    serve: Serve, operations: FakeOperations
) -> None:
    server = await serve(
        max_body_bytes=MIB, limits=Limits(buffered_bytes=MIB, body_seconds=5, drain_seconds=0.05)
    )
    async with connection(server) as (first_reader, first):
        first.write(head(f"Content-Length: {MIB}") + b" " * (MIB - 1))
        await first.drain()
        async with ClientSession(f"http://127.0.0.1:{server.port}") as session:

            async def refused() -> bool:
                async with session.post(PATH, data=b" " * 9000) as response:
                    return response.status == 503 and response.headers["Retry-After"] == "1"

            # Until the server has read what the first one sent.
            await eventually(refused, within_seconds=5)
            first.write(b" ")
            assert b" 400 " in await first_reader.readline()
            async with session.post(PATH, data=b'{"alerts": []}') as response:
                assert response.status == 200
    assert operations.names()[-1] == "accept_alerts"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 60 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        head("Authorization: Bearer hunter2\x00"),
        head("Content-Length: 5", "Content-Length: 6"),
        head("Content-Length: 5", "Transfer-Encoding: chunked"),
        head("Authorization: Bearer hunter2", *(f"X-{n}: y" for n in range(200))),
        b"HELO hunter2\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_400_and_not_logged(
    serve: Serve, telemetry: Telemetry, caplog: pytest.LogCaptureFixture, request_bytes: bytes
) -> None:
    caplog.set_level(logging.INFO)
    server = await serve()
    async with connection(server) as (reader, writer):
        writer.write(request_bytes)
        async with asyncio.timeout(5):
            assert b" 400 " in await reader.readline()
    assert requests(telemetry, "malformed", 400) == 1
    assert caplog.records == []
