import hmac
import logging
from pathlib import Path

import pytest
from aiohttp import ClientSession

from rollbackd.http import HttpServer, auth
from rollbackd.settings import HttpSettings, Permission, TokenSettings
from tests.http.conftest import Serve
from tests.http.operations import FakeOperations

OLD, NEW, OTHER = "old-token-0123456789", "new-token-0123456789", "other-token-0123456789"


def settings(file: Path, name: str = "oncall") -> TokenSettings:
    permissions = frozenset({Permission.READ, Permission.OPERATE})
    return TokenSettings(name=name, file=file, permissions=permissions)


async def status(server: HttpServer, token: str, *, scheme: str = "Bearer") -> int:
    headers = {"Authorization": f"{scheme} {token}"}
    async with (
        ClientSession(f"http://127.0.0.1:{server.port}") as session,
        session.get("/api/v1/status", headers=headers) as response,
    ):
        return response.status


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"{OLD}\n")
    return path


async def test_tokens_are_rotated_by_reload(serve: Serve, file: Path) -> None:
    server = await serve(tokens=[settings(file)])
    assert [await status(server, t) for t in (OLD, NEW)] == [200, 401]
    file.write_text(f"{OLD}\n\n  {NEW}  \n")
    assert [await status(server, t) for t in (OLD, NEW)] == [200, 401]
    server.reload()
    assert [await status(server, t) for t in (OLD, NEW)] == [200, 200]
    file.write_text(f"{NEW}\n")
    server.reload()
    assert [await status(server, t) for t in (OLD, NEW)] == [401, 200]


async def test_the_reload_call_rotates_tokens_too(serve: Serve, file: Path) -> None:
    server = await serve(tokens=[settings(file)])
    file.write_text(NEW)
    headers = {"Authorization": f"Bearer {OLD}"}
    async with (
        ClientSession(f"http://127.0.0.1:{server.port}") as session,
        session.post("/-/reload", headers=headers) as response,
    ):
        assert response.status == 200
    assert [await status(server, t) for t in (OLD, NEW)] == [401, 200]


@pytest.mark.parametrize("fault", ["empty", "gone", "not UTF-8", "rules"])
async def test_a_reload_that_fails_keeps_the_old_tokens(
    serve: Serve, file: Path, operations: FakeOperations, fault: str
) -> None:
    server = await serve(tokens=[settings(file)])
    match fault:
        case "empty":
            file.write_text("\n")
        case "gone":
            file.unlink()
        case "not UTF-8":
            file.write_bytes(b"\xff" * 40)
        case "rules":
            file.write_text(NEW)
            operations.failure = ValueError("the rules are bad")
    headers = {"Authorization": f"Bearer {OLD}"}
    async with (
        ClientSession(f"http://127.0.0.1:{server.port}") as session,
        session.post("/-/reload", headers=headers) as response,
    ):
        assert response.status == 400
    assert operations.names() == (["reload"] if fault == "rules" else [])
    assert [await status(server, t) for t in (OLD, NEW)] == [200, 401]


@pytest.mark.parametrize(
    ("scheme", "token"),
    [
        ("Bearer", OLD[:-1]),
        ("Bearer", OLD + "x"),
        ("Bearer", OLD.upper()),
        ("Bearer", ""),
        ("Basic", OLD),
        ("", OLD),
        ("Bearer", "ü"),
    ],
)
async def test_what_is_not_quite_the_token_is_401(
    serve: Serve, file: Path, scheme: str, token: str
) -> None:
    server = await serve(tokens=[settings(file)])
    assert await status(server, token, scheme=scheme) == 401


async def test_the_scheme_is_case_insensitive(serve: Serve, file: Path) -> None:
    server = await serve(tokens=[settings(file)])
    assert await status(server, OLD, scheme="bearer") == 200


async def test_every_token_is_compared_in_constant_time(
    serve: Serve, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first match does not end the search, and only digests are compared."""
    (tmp_path / "other").write_text(OTHER)
    server = await serve(tokens=[settings(file), settings(tmp_path / "other", "other")])
    compared: list[bytes] = []

    def compare(known: bytes, given: bytes) -> bool:
        compared.append(known)
        return hmac.compare_digest(known, given)

    class Spy:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(auth, "hmac", Spy)
    assert await status(server, OLD) == 200
    assert len(compared) == 2
    assert all(len(known) == 32 for known in compared)


def test_one_token_for_two_callers_is_refused(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(OLD)
    with pytest.raises(ValueError, match="a token of its own") as caught:
        auth.Authenticator(HttpSettings(tokens=[settings(file), settings(other, "other")]))
    assert OLD not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe"])
def test_a_token_file_without_tokens_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match="token file"):
        auth.Authenticator(HttpSettings(tokens=[settings(file)]))


def test_a_short_token_is_warned_about(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text("secret")
    auth.Authenticator(HttpSettings(tokens=[settings(file)]))
    assert "token is short" in caplog.text
    assert "secret" not in caplog.text


async def test_no_token_reaches_a_log_or_an_answer(
    serve: Serve, file: Path, operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = await serve(tokens=[settings(file)])
    operations.failure = RuntimeError(f"something broke near {OLD}")
    seen = ""
    for token in (OLD, NEW):
        headers = {"Authorization": f"Bearer {token}"}
        async with ClientSession(f"http://127.0.0.1:{server.port}") as session:
            for path in ("/api/v1/incidents", f"/{token}", "/metrics", "/-/ready"):
                async with session.get(path, headers=headers) as response:
                    seen += await response.text() + str(response.headers)
    for token in (OLD, NEW):
        assert token not in seen
        assert token not in caplog.text
        assert not any(token in str(r.__dict__) for r in caplog.records if r.name != "asyncio")
        assert token not in repr(vars(server))
