"""The report over HTTP, filing a root cause, and an answer that can be verified."""

import math

import msgspec
from aiohttp import ClientSession
from msgspec.structs import replace

from rollbackd.documents.canonical_json import canonical_json
from tests.http.operations import FakeOperations

_FILED = {"cause": "pin_drift", "summary": "p2", "owner": "eve", "link": "https://tickets/7"}


async def test_the_report_is_a_page_that_may_do_nothing(client: ClientSession) -> None:
    async with client.get("/api/v1/incidents/inc-1/report") as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        assert "sandbox" in response.headers["Content-Security-Policy"]
        assert "script-src" not in response.headers["Content-Security-Policy"]
        assert await response.text() == "<!doctype html>"


async def test_a_report_that_is_not_here(client: ClientSession) -> None:
    async with client.get("/api/v1/incidents/inc-9/report") as response:
        assert response.status == 404
        assert "no report" in (await response.json())["error"]


async def test_a_root_cause_is_filed_under_the_caller_s_name(
    client: ClientSession, operations: FakeOperations
) -> None:
    async with client.post("/api/v1/incidents/inc-1/root-cause", json=_FILED) as response:
        assert response.status == 200
        assert (await response.json())["id"] == "inc-1"
    ((name, incident_id, filed),) = operations.calls
    assert (name, incident_id) == ("close", "inc-1")
    assert filed == {**_FILED, "by": filed["by"]}


async def test_what_the_daemon_refuses_is_said(
    client: ClientSession, operations: FakeOperations
) -> None:
    operations.failure = ValueError("not closed: `owner` must not be empty")
    async with client.post("/api/v1/incidents/inc-1/root-cause", json={}) as response:
        assert response.status == 400
        assert "`owner` must not be empty" in (await response.json())["error"]


async def test_an_incident_comes_as_the_text_that_its_chain_is_over(
    client: ClientSession, operations: FakeOperations
) -> None:
    """A value that JSON cannot say is not lost on the way."""
    incident = operations.known["inc-1"]
    operations.known["inc-1"] = replace(incident, note="n", policy=replace(
        incident.policy, min_input_coverage=math.nan,
    ))  # fmt: skip
    async with client.get("/api/v1/incidents/inc-1") as response:
        body = await response.read()
    assert body == canonical_json(msgspec.json.decode(body))
    assert b'"min_input_coverage":"nan"' in body
