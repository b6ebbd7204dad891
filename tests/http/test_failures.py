"""What the daemon raises becomes an answer, and nothing escapes."""

import logging

import pytest
from aiohttp import ClientSession

from rollbackd.documents.diagnostics import Diagnostic, DocumentError, Position, Severity
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.http import Limits
from rollbackd.model.events import Rejected
from rollbackd.ports import ScopeBusyError, StaleIncidentError
from rollbackd.telemetry import Telemetry
from tests.http.conftest import Serve, requests
from tests.http.operations import FakeOperations

PULL = {"branch": "quality_regression", "scope": "rag", "reason": "r"}


@pytest.mark.parametrize(
    ("failure", "status", "text"),
    [
        (TemporaryError("the store does not answer"), 503, "the store does not answer"),
        (TimeoutError(), 503, "no answer in time"),
        (ScopeBusyError("inc-7"), 409, "inc-7"),
        (StaleIncidentError("x"), 409, "faster"),
        (ValueError("there is no branch `x`"), 400, "there is no branch `x`"),
        (Rejected("bad"), 400, "bad"),
        (KeyError("inc-7"), 404, "there is no `inc-7`"),
        (PermanentError("secret"), 500, "a defect"),
        (RuntimeError("secret"), 500, "a defect"),
    ],
)
async def test_each_error_has_its_status(
    client: ClientSession, operations: FakeOperations, failure: Exception, status: int, text: str
) -> None:
    operations.failure = failure
    async with client.post("/api/v1/incidents", json=PULL) as response:
        assert response.status == status
        assert ("Retry-After" in response.headers) is (status == 503)
        assert text in (await response.json())["error"]


async def test_a_busy_scope_names_its_incident(
    client: ClientSession, operations: FakeOperations
) -> None:
    operations.failure = ScopeBusyError("inc-7")
    async with client.post("/api/v1/incidents", json=PULL) as response:
        assert (await response.json())["incident_id"] == "inc-7"


async def test_a_document_that_is_refused_comes_with_its_diagnostics(
    client: ClientSession, operations: FakeOperations
) -> None:
    where = Position("rules.yaml", 3, 7, 4)
    operations.failure = DocumentError(
        [Diagnostic("rule/expr", Severity.ERROR, "cannot parse `foo(`", where, "expr: foo(", "fix")]
    )
    async with client.post("/-/reload") as response:
        assert response.status == 400
        answer = await response.json()
    assert "rules.yaml:3:7: error: cannot parse `foo(` (rule/expr)" in answer["error"]
    assert answer["diagnostics"] == [
        {
            "id": "rule/expr",
            "severity": "error",
            "position": "rules.yaml:3:7",
            "message": "cannot parse `foo(`",
            "fix": "fix",
        }
    ]


async def test_a_defect_is_logged_once_without_what_the_caller_sent(
    client: ClientSession,
    operations: FakeOperations,
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    operations.failure = RuntimeError("the body said hunter2")
    async with client.post("/api/v1/incidents", json={**PULL, "reason": "hunter2"}) as response:
        assert response.status == 500
        name = response.headers["X-Request-Id"]
        text = await response.text()
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(errors) == 1
    fields = errors[0].__dict__
    assert fields["request_id"] == name
    assert fields["route"] == "/api/v1/incidents"
    assert fields["error"] == "RuntimeError"
    assert "operations.py" in fields["stack"]
    assert "hunter2" not in f"{fields}{text}{caplog.text}"
    assert requests(telemetry, "/api/v1/incidents", 500) == 1


async def test_a_call_that_hangs_is_503(serve: Serve, operations: FakeOperations) -> None:
    operations.hang = True
    server = await serve(limits=Limits(answer_seconds=0.05))
    async with (
        ClientSession(f"http://127.0.0.1:{server.port}") as session,
        session.get("/api/v1/incidents") as response,
    ):
        assert response.status == 503


async def test_the_server_stops_twice_and_its_port_is_free_again(serve: Serve) -> None:
    server = await serve()
    port = server.port
    await server.stop()
    await server.stop()
    again = await serve(port=port)
    assert again.port == port


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open(serve: Serve) -> None:
    server = await serve()
    with pytest.raises(OSError, match="address already in use"):
        await serve(port=server.port)
