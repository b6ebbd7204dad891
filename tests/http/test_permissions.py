"""Who may call what. The table here is written by hand: it is the promise."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from rollbackd.http import HttpServer
from rollbackd.http.callers import is_loopback
from rollbackd.settings import HttpSettings, Permission, TokenSettings
from tests.http.conftest import Serve
from tests.http.known_good_desk import FakeDesk, known_good
from tests.http.operations import FakeOperations

INGEST, READ, OPERATE = Permission.INGEST, Permission.READ, Permission.OPERATE

PROMISED: dict[tuple[str, str], Permission | None] = {
    ("POST", "/api/v1/alertmanager"): INGEST,
    ("POST", "/api/v1/events"): INGEST,
    ("POST", "/api/v1/cloudevents"): INGEST,
    ("POST", "/api/v1/write"): INGEST,
    ("POST", "/v1/metrics"): INGEST,
    ("GET", "/api/v1/controls/{service}"): READ,
    ("GET", "/api/v1/controls/{service}/{region}"): READ,
    ("PUT", "/api/v1/controls/{service}/{region}/{name}"): OPERATE,
    ("POST", "/api/v1/controls/{service}/{region}/{name}/release"): OPERATE,
    ("POST", "/ofrep/v1/evaluate/flags/{key}"): READ,
    ("POST", "/ofrep/v1/evaluate/flags"): READ,
    ("GET", "/api/v1/pins"): READ,
    ("POST", "/api/v1/pins"): OPERATE,
    ("GET", "/api/v1/pins/{set}"): READ,
    ("GET", "/api/v1/pins/live/{service}/{region}"): READ,
    ("POST", "/api/v1/pins/{set}/promote"): OPERATE,
    ("POST", "/api/v1/pins/{set}/retire"): OPERATE,
    ("GET", "/api/v1/incidents"): READ,
    ("POST", "/api/v1/incidents"): OPERATE,
    ("GET", "/api/v1/incidents/{id}"): READ,
    ("GET", "/api/v1/incidents/{id}/report"): READ,
    ("POST", "/api/v1/incidents/{id}/root-cause"): OPERATE,
    ("GET", "/api/v1/incidents/{id}/reconciliation"): READ,
    ("POST", "/api/v1/incidents/{id}/reconciliation"): OPERATE,
    ("GET", "/api/v1/reconciliation"): READ,
    ("POST", "/api/v1/incidents/{id}/decision"): OPERATE,
    ("GET", "/api/v1/query"): READ,
    ("GET", "/api/v1/explain"): READ,
    ("GET", "/api/v1/status"): READ,
    ("POST", "/api/v1/pause"): OPERATE,
    ("POST", "/api/v1/resume"): OPERATE,
    ("POST", "/api/v1/unlatch"): OPERATE,
    ("POST", "/-/reload"): OPERATE,
    ("PUT", "/-/reload"): OPERATE,
    ("GET", "/metrics"): READ,
    ("GET", "/"): READ,
    ("GET", "/-/healthy"): None,
    ("GET", "/-/ready"): None,
}

TOKENS = {permission: f"the-{permission}-token-0123456789" for permission in Permission}


def path_of(pattern: str) -> str:
    return pattern.format(
        service="rag", region="eu", name="flag", id="inc-1", key="flag", set=known_good().id
    )


@pytest.fixture
async def guarded(serve: Serve, tmp_path: Path) -> HttpServer:
    tokens = []
    for permission, token in TOKENS.items():
        (tmp_path / permission).write_text(token)
        tokens.append(
            TokenSettings(
                name=f"{permission}-caller",
                file=tmp_path / permission,
                permissions=frozenset({permission}),
            )
        )
    return await serve(tokens=tokens)


@pytest.fixture
async def caller(guarded: HttpServer) -> AsyncIterator[ClientSession]:
    async with ClientSession(f"http://127.0.0.1:{guarded.port}") as session:
        yield session


def test_every_endpoint_is_in_the_promise(guarded: HttpServer) -> None:
    """An endpoint that nobody thought about fails here."""
    served = {(m, e.path): e.permission for e in guarded.endpoints for m in e.methods}
    assert {k: v for k, v in served.items() if k[0] != "HEAD"} == PROMISED
    for endpoint in guarded.endpoints:
        if "HEAD" in endpoint.methods:
            assert PROMISED["GET", endpoint.path] is endpoint.permission


def test_every_operate_call_but_reload_takes_json_only(guarded: HttpServer) -> None:
    operate = [e for e in guarded.endpoints if e.permission is OPERATE]
    assert {e.path for e in operate if not e.json_only} == {"/-/reload"}


@pytest.mark.parametrize(("method", "pattern"), PROMISED)
async def test_without_a_token_only_the_public_paths_answer(
    caller: ClientSession, operations: FakeOperations, method: str, pattern: str
) -> None:
    async with caller.request(method, path_of(pattern), json={}) as response:
        if PROMISED[method, pattern] is None:
            assert response.status == 200
            return
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert operations.calls == []


@pytest.mark.parametrize("held", Permission)
@pytest.mark.parametrize(("method", "pattern"), PROMISED)
async def test_a_token_opens_what_it_permits_and_nothing_else(
    caller: ClientSession,
    operations: FakeOperations,
    method: str,
    pattern: str,
    held: Permission,
) -> None:
    headers = {"Authorization": f"Bearer {TOKENS[held]}"}
    async with caller.request(method, path_of(pattern), json={}, headers=headers) as response:
        wanted = PROMISED[method, pattern]
        if wanted is None or wanted is held:
            assert response.status in {200, 201, 400, 415}
            return
        assert response.status == 403
        assert await response.json() == {
            "error": f"`{held}-caller` lacks the permission `{wanted}`"
        }
    assert operations.calls == []


async def test_head_needs_the_permission_too(caller: ClientSession) -> None:
    async with caller.head("/metrics") as response:
        assert response.status == 401


async def test_the_callers_name_signs_the_act_in_journal_and_log(
    caller: ClientSession, operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    headers = {"Authorization": f"Bearer {TOKENS[OPERATE]}"}
    async with caller.post("/api/v1/pause", json={"reason": "r"}, headers=headers) as response:
        assert response.status == 200
    assert operations.calls[0][1].by == "operate-caller"
    (record,) = [r for r in caplog.records if r.name.startswith("rollbackd")]
    fields = record.__dict__
    assert (fields["action"], fields["by"], fields["reason"]) == ("pause", "operate-caller", "r")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "rollbackd.example", ""])
def test_an_open_listener_without_authentication_is_refused(
    host: str, operations: FakeOperations, telemetry: object
) -> None:
    with pytest.raises(ValueError, match="not loopback"):
        HttpServer(
            HttpSettings(host=host),
            operations,
            telemetry,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            last_known=operations,
            known_good=FakeDesk(),
        )


async def test_an_open_listener_starts_when_told_so(
    serve: Serve, operations: FakeOperations
) -> None:
    server = await serve(host="0.0.0.0", allow_unauthenticated=True)
    async with (
        ClientSession(f"http://127.0.0.1:{server.port}") as session,
        session.post("/api/v1/pause", json={"reason": "r"}) as response,
    ):
        assert response.status == 200
    assert operations.calls[0][1].by == "anonymous"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:  # noqa: FBT001
    assert is_loopback(host) is loopback
