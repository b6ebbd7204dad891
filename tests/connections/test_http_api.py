"""One policy for calls to other systems: time, TLS, size, addresses, and what may be said."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import ClassVar

import pytest
from aiohttp import web

from rollbackd.connections import http as calls
from rollbackd.connections.http import MAX_ANSWER_BYTES, HttpApi, check_address
from rollbackd.errors import PermanentError, RollbackdError, TemporaryError
from rollbackd.settings.endpoints import HttpEndpoint
from tests.http.certificates import Authority
from tests.services.processes import HOST, free_port

TOKEN = "hunter2-token"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Peer:
    """A server that answers as it is told."""

    def __init__(self, port: int) -> None:
        self.url = f"http://{HOST}:{port}"
        self.requests: list[web.Request] = []
        self.answer: Handler

    async def handle(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        self.requests.append(request)
        return await self.answer(request)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    """On loopback."""
    port = free_port()
    peer = Peer(port)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", peer.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    yield peer
    await runner.cleanup()


@pytest.fixture
async def api(peer: Peer, tmp_path: Path) -> AsyncIterator[HttpApi]:
    """With a token."""
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    api = HttpApi(HttpEndpoint(url=peer.url, token_file=token_file))
    yield api
    await api.close()


def answering(status: int, text: str = "", **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, headers=names)

    return answer


async def failure(api: HttpApi, path: str = "/x") -> RollbackdError:
    with pytest.raises(RollbackdError) as raised:
        await api.call("GET", path)
    return raised.value


async def test_a_call_carries_the_token_and_json(peer: Peer, api: HttpApi) -> None:
    """And brings back status, headers and body."""
    peer.answer = answering(200, '{"a": 1}')
    answer = await api.call("POST", "/x", json={"b": 2})
    assert answer.json() == {"a": 1}
    request = peer.requests[0]
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert await request.json() == {"b": 2}


async def test_a_rotated_token_is_used_at_the_next_call(
    peer: Peer, api: HttpApi, tmp_path: Path
) -> None:
    """Nothing has to be restarted."""
    peer.answer = answering(200)
    await api.call("GET", "/x")
    (tmp_path / "token").write_text("another")
    await api.call("GET", "/x")
    assert peer.requests[1].headers["Authorization"] == "Bearer another"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
async def test_what_may_pass_is_temporary(peer: Peer, api: HttpApi, status: int) -> None:
    """A retry may help."""
    peer.answer = answering(status, Retry_After="2")
    error = await failure(api)
    assert isinstance(error, TemporaryError)
    assert error.delay_ms == 2_000


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 409, 422])
async def test_what_no_retry_mends_is_permanent(peer: Peer, api: HttpApi, status: int) -> None:
    """Also a redirect: it could lead anywhere, and the token with it."""
    peer.answer = answering(status, "no", Location="/elsewhere")
    assert isinstance(await failure(api), PermanentError)
    assert len(peer.requests) == 1


async def test_a_status_that_is_expected_is_an_answer(peer: Peer, api: HttpApi) -> None:
    """404 may be what one wants to know."""
    peer.answer = answering(404, "none")
    assert (await api.call("GET", "/x", allowed=(404,))).status == 404


async def test_no_answer_in_time_is_temporary(peer: Peer) -> None:
    """The effect may have happened: who retries reads first."""

    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    peer.answer = never
    hasty = HttpApi(HttpEndpoint(url=peer.url, timeout=300))
    error = await failure(hasty)
    await hasty.close()
    assert isinstance(error, TemporaryError)
    assert "no answer within 0.3 s" in str(error)


async def test_who_lets_nobody_in_is_known_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an answer may take long: here the TLS handshake never comes."""
    monkeypatch.setattr(calls, "_CONNECT_SECONDS", 0.3)

    class Patient(HttpEndpoint, frozen=True, kw_only=True):
        longest_timeout_ms: ClassVar[int] = 600_000

    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        mine = HttpApi(Patient(url=f"https://{HOST}:{port}", timeout=600_000))
        async with asyncio.timeout(20):
            error = await failure(mine)
        await mine.close()
    assert isinstance(error, TemporaryError)
    assert "no connection within 0.3 s" in str(error)


async def test_nobody_there_is_temporary() -> None:
    """It may come back."""
    api = HttpApi(HttpEndpoint(url=f"http://{HOST}:{free_port()}"))
    assert isinstance(await failure(api), TemporaryError)
    await api.close()


async def test_an_endless_answer_is_cut(peer: Peer, api: HttpApi) -> None:
    """Memory is ours."""
    peer.answer = answering(200, "x" * (MAX_ANSWER_BYTES + 1))
    assert "bytes" in str(await failure(api))


async def test_the_token_stands_in_no_message(peer: Peer, api: HttpApi) -> None:
    """Not even when the other side repeats it; nor does what was asked after the path."""
    peer.answer = answering(400, f"bad token {TOKEN}\nsecond line")
    with pytest.raises(PermanentError) as raised:
        await api.call("GET", "/x", params={"q": "private"})
    assert "bad token *** second line" in str(raised.value)
    assert TOKEN not in str(raised.value)
    assert "private" not in str(raised.value)
    assert TOKEN not in repr(api)


async def test_a_missing_token_file_is_named(peer: Peer, tmp_path: Path) -> None:
    """By its path; what was in it is not known."""
    api = HttpApi(HttpEndpoint(url=peer.url, token_file=tmp_path / "gone"))
    error = await failure(api)
    assert isinstance(error, PermanentError)
    assert "gone" in str(error)
    await api.close()


async def test_what_is_not_json_is_said_to_be_none(peer: Peer, api: HttpApi) -> None:
    """With the beginning of it."""
    peer.answer = answering(200, "<html>")
    with pytest.raises(PermanentError, match="not JSON: <html>"):
        (await api.call("GET", "/x")).json()


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "fe80::1",
        "fe80::1%eth0",
        "224.0.0.1",
        "0.0.0.0",
        "::",
    ],
)
def test_addresses_where_no_lever_is_are_refused(address: str) -> None:
    """Metadata services, multicast and the unspecified address (OWASP, SSRF prevention)."""
    with pytest.raises(PermanentError, match="no address that may be called"):
        check_address(address)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:a9fe:a9fe]"])
def test_a_literal_address_is_refused_when_it_is_configured(host: str) -> None:
    """No name is resolved for it; `rollbackd check` says so, and a reload is refused."""
    with pytest.raises(ValueError, match="no address that may be called"):
        HttpEndpoint(url=f"http://{host}/latest")


@pytest.mark.parametrize("host", ["2852039166", "1.2.3"])
async def test_a_number_is_no_host(host: str) -> None:
    """The system's resolver would take it for an address."""
    api = HttpApi(HttpEndpoint(url=f"http://{host}"))
    error = await failure(api)
    assert isinstance(error, PermanentError)
    assert "cannot be a URL" in str(error)
    await api.close()


@pytest.mark.parametrize("token", ["hunter2\x00token", "hunter2\x7ftoken"])
async def test_a_token_that_no_header_can_carry_is_a_mistake(
    peer: Peer, tmp_path: Path, token: str
) -> None:
    """It fails for good, and is not quoted."""
    peer.answer = answering(200, "{}")
    (tmp_path / "token").write_text(token)
    api = HttpApi(HttpEndpoint(url=peer.url, token_file=tmp_path / "token"))
    error = await failure(api)
    assert isinstance(error, PermanentError)
    assert "characters" in str(error)
    assert "hunter2" not in str(error)
    await api.close()


async def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """For good: they do not mend themselves."""
    (tmp_path / "ca.pem").write_text("no certificate")
    api = HttpApi(HttpEndpoint(url="https://localhost:1", ca_file=tmp_path / "ca.pem"))
    error = await failure(api)
    assert isinstance(error, PermanentError)
    assert "ca.pem" in str(error)
    await api.close()


async def test_an_encrypted_key_is_not_asked_for_on_the_terminal(tmp_path: Path) -> None:
    """The daemon has none, and a person's terminal would hang."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("client", "DNS:client")
    encrypted = authority.encrypt(key, "hunter2")
    settings = HttpEndpoint(url="https://localhost:1", cert_file=cert, key_file=encrypted)
    error = await failure(HttpApi(settings))
    assert isinstance(error, PermanentError)
    assert "encrypted" in str(error)


async def test_a_name_that_leads_there_is_refused_when_it_is_resolved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At connecting: what it meant when it was configured proves nothing."""

    async def resolved(*_: object, **__: object) -> list[object]:
        kind, where = (2, 1, 6, ""), ("169.254.169.254", 80)
        return [(*kind, where)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
    api = HttpApi(HttpEndpoint(url="http://metadata.example"))
    assert isinstance(await failure(api), PermanentError)
    await api.close()


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """And taken where its CA is named."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("server", "DNS:localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    port, app = free_port(), web.Application()
    app.router.add_get("/x", answering(200, "{}"))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, port, ssl_context=context).start()
    url = f"https://localhost:{port}"
    distrusting = HttpApi(HttpEndpoint(url=url))
    trusting = HttpApi(HttpEndpoint(url=url, ca_file=authority.certificate))
    assert "certificate" in str(await failure(distrusting))
    assert (await trusting.call("GET", "/x")).status == 200
    for api in (distrusting, trusting):
        await api.close()
    await runner.cleanup()
