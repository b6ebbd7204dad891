import shutil
import ssl
from pathlib import Path

import pytest
from aiohttp import ClientConnectorError, ClientError, ClientSession, TCPConnector

from rollbackd.http import HttpServer
from rollbackd.http.tls import server_context
from rollbackd.settings import (
    ClientCertificateSettings,
    HttpSettings,
    Permission,
    TlsSettings,
    TokenSettings,
)
from tests.http.certificates import Authority
from tests.http.conftest import Serve
from tests.http.operations import FakeOperations

TOKEN = "the-read-token-0123456789"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> TlsSettings:
    certificate, key = authority.issue("server", "IP:127.0.0.1,DNS:localhost")
    files = tmp_path / "server.pem", tmp_path / "server.key"
    shutil.copy(certificate, files[0])
    shutil.copy(key, files[1])
    return TlsSettings(cert_file=files[0], key_file=files[1])


def with_client_ca(tls: TlsSettings, authority: Authority) -> TlsSettings:
    return TlsSettings(
        cert_file=tls.cert_file, key_file=tls.key_file, client_ca_file=authority.certificate
    )


def operators(*sans: str) -> list[ClientCertificateSettings]:
    permissions = frozenset({Permission.READ, Permission.OPERATE})
    return [
        ClientCertificateSettings(name=f"holder of {san}", san=san, permissions=permissions)
        for san in sans
    ]


def trusting(authority: Authority, *client: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if client:
        context.load_cert_chain(*client)
    return context


async def status(
    server: HttpServer, context: ssl.SSLContext, path: str = "/api/v1/status", **headers: str
) -> int:
    async with (
        ClientSession(connector=TCPConnector(ssl=context)) as session,
        session.get(f"https://127.0.0.1:{server.port}{path}", headers=headers) as response,
    ):
        return response.status


async def test_tls_is_served_and_plain_http_is_not(
    serve: Serve, tls: TlsSettings, authority: Authority
) -> None:
    server = await serve(tls=tls)
    assert await status(server, trusting(authority)) == 200
    with pytest.raises(ClientError):
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{server.port}/"):
            pass


async def test_tls_1_1_is_refused(serve: Serve, tls: TlsSettings, authority: Authority) -> None:
    context = server_context(HttpSettings(tls=tls))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    server = await serve(tls=tls)
    old = trusting(authority)
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ClientConnectorError):
        await status(server, old)


@pytest.mark.parametrize("san", ["DNS:rollout.example", "URI:spiffe://example/rollout"])
async def test_a_client_certificate_is_a_caller_by_its_san(
    serve: Serve, tls: TlsSettings, authority: Authority, operations: FakeOperations, san: str
) -> None:
    server = await serve(
        host="127.0.0.1",
        tls=with_client_ca(tls, authority),
        client_certificates=operators("nobody.example", san.partition(":")[2]),
    )
    context = trusting(authority, *authority.issue("client", san))
    async with (
        ClientSession(connector=TCPConnector(ssl=context)) as session,
        session.post(
            f"https://127.0.0.1:{server.port}/api/v1/pause", json={"reason": "r"}
        ) as response,
    ):
        assert response.status == 200
    assert operations.calls[0][1].by == f"holder of {san.partition(':')[2]}"


async def test_a_certificate_of_the_ca_with_another_name_is_401(
    serve: Serve, tls: TlsSettings, authority: Authority
) -> None:
    server = await serve(
        tls=with_client_ca(tls, authority), client_certificates=operators("rollout.example")
    )
    # The common name counts for nothing.
    context = trusting(authority, *authority.issue("rollout.example", "DNS:other.example"))
    assert await status(server, context) == 401


async def test_without_tokens_a_certificate_is_required(
    serve: Serve, tls: TlsSettings, authority: Authority, tmp_path: Path
) -> None:
    server = await serve(
        tls=with_client_ca(tls, authority), client_certificates=operators("rollout.example")
    )
    stranger = Authority(tmp_path / "stranger").issue("client", "DNS:rollout.example")
    for context in (trusting(authority), trusting(authority, *stranger)):
        with pytest.raises(ClientError):
            await status(server, context, "/-/healthy")


async def test_beside_tokens_a_certificate_is_optional_but_never_unverified(
    serve: Serve, tls: TlsSettings, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    token = TokenSettings(
        name="prometheus", file=tmp_path / "token", permissions=frozenset({Permission.READ})
    )
    server = await serve(
        tls=with_client_ca(tls, authority),
        tokens=[token],
        client_certificates=operators("rollout.example"),
    )
    bare = trusting(authority)
    assert await status(server, bare, "/-/healthy") == 200
    assert await status(server, bare) == 401
    assert await status(server, bare, Authorization=f"Bearer {TOKEN}") == 200
    known = trusting(authority, *authority.issue("client", "DNS:rollout.example"))
    assert await status(server, known) == 200
    assert await status(server, known, Authorization="Bearer wrong") == 401
    stranger = Authority(tmp_path / "stranger").issue("client", "DNS:rollout.example")
    with pytest.raises(ClientError):
        await status(server, trusting(authority, *stranger))


async def test_a_new_certificate_is_taken_by_reload_and_a_broken_one_is_not(
    serve: Serve, tls: TlsSettings, tmp_path: Path
) -> None:
    server = await serve(tls=tls)
    other = Authority(tmp_path / "other")
    certificate, key = other.issue("server", "IP:127.0.0.1")
    with pytest.raises(ClientConnectorError):
        await status(server, trusting(other))
    shutil.copy(certificate, tls.cert_file)
    with pytest.raises(ValueError, match=r"server\.pem"):
        server.reload()
    shutil.copy(key, tls.key_file)
    server.reload()
    assert await status(server, trusting(other)) == 200


@pytest.mark.parametrize("gone", ["cert_file", "client_ca_file"])
def test_a_file_that_cannot_be_used_is_named(
    tls: TlsSettings, authority: Authority, gone: str
) -> None:
    chosen = with_client_ca(tls, authority)
    broken = tls.cert_file.parent / "broken.pem"
    broken.write_text("no certificate")
    files = {"cert_file": chosen.cert_file, "client_ca_file": chosen.client_ca_file, gone: broken}
    with pytest.raises(ValueError, match=r"broken\.pem"):
        server_context(HttpSettings(tls=TlsSettings(key_file=chosen.key_file, **files)))
