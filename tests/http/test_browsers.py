"""What a page in a browser on this machine could try against the loopback listener."""

import pytest
from aiohttp import ClientSession

from rollbackd.http import HttpServer
from tests.http.operations import FakeOperations
from tests.http.test_permissions import OPERATE, PROMISED, path_of

MUTATING = [call for call in PROMISED if call[0] != "GET"]


@pytest.mark.parametrize(("method", "pattern"), MUTATING)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
async def test_a_page_of_another_site_cannot_act(
    client: ClientSession, operations: FakeOperations, method: str, pattern: str, origin: str
) -> None:
    headers = {"Origin": origin}
    async with client.request(method, path_of(pattern), json={}, headers=headers) as response:
        assert response.status == 403
    assert operations.calls == []


async def test_a_page_of_our_own_can(server: HttpServer, client: ClientSession) -> None:
    headers = {"Origin": f"http://127.0.0.1:{server.port}"}
    async with client.post("/api/v1/pause", json={"reason": "r"}, headers=headers) as response:
        assert response.status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize(
    ("method", "pattern"), [c for c in MUTATING if PROMISED[c] is OPERATE and "reload" not in c[1]]
)
async def test_a_form_cannot_act(
    client: ClientSession,
    operations: FakeOperations,
    method: str,
    pattern: str,
    content_type: str,
) -> None:
    async with client.request(
        method,
        path_of(pattern),
        data=b'{"reason": "r"}',
        headers={"Content-Type": content_type},
    ) as response:
        assert response.status == 415
    assert operations.calls == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9797", "192.0.2.1"])
async def test_a_name_that_was_made_to_resolve_to_loopback_is_refused(
    client: ClientSession, host: str
) -> None:
    async with client.get("/api/v1/status", headers={"Host": host}) as response:
        assert response.status == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "[::1]:9797", "127.0.0.1"])
async def test_the_loopback_names_are_let_in(client: ClientSession, host: str) -> None:
    async with client.get("/api/v1/status", headers={"Host": host}) as response:
        assert response.status == 200
