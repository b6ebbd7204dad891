"""The routes that people and applications call."""

from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from rollbackd.http import HttpServer
from rollbackd.incidents.messages import Decision
from rollbackd.model.controls import Control
from rollbackd.model.labels import Scope
from rollbackd.telemetry import Telemetry
from tests.http.conftest import requests
from tests.http.known_good_desk import known_good
from tests.http.operations import FakeOperations

NOW = 1_700_000_000_000


async def test_controls_show_what_is_in_force(
    client: ClientSession, operations: FakeOperations
) -> None:
    operations.switches = {
        "flag": Control(
            name="flag",
            intent={"canary_weight": 0.1},
            trip={"canary_weight": 0.0},
            version=4,
            epoch=9,
            incident_id="inc-1",
            updated_at_ms=NOW,
        ),
        "degrade": Control(name="degrade"),
    }
    async with client.get("/api/v1/controls/rag/eu-1") as response:
        assert response.status == 200
        answer = await response.json()
    assert answer["scope"] == "rag/eu-1"
    assert answer["controls"]["flag"] == {
        "value": {"canary_weight": 0.0},
        "intent": {"canary_weight": 0.1},
        "tripped": True,
        "version": 4,
        "epoch": 9,
        "incident_id": "inc-1",
        "updated_at_ms": NOW,
    }
    assert answer["controls"]["degrade"]["value"] == {"level": 0}
    assert operations.calls == [("controls", Scope("rag", "eu-1"))]


async def test_a_service_without_a_region_is_global(
    client: ClientSession, operations: FakeOperations
) -> None:
    async with client.get("/api/v1/controls/rag") as response:
        assert (await response.json())["scope"] == "rag/global"
    assert operations.calls == [("controls", Scope("rag", "global"))]


async def test_an_intent_is_written(client: ClientSession, operations: FakeOperations) -> None:
    value = {"canary_weight": 0.25}
    async with client.put("/api/v1/controls/rag/eu-1/flag:new", json={"value": value}) as response:
        assert response.status == 200
        assert (await response.json())["control"]["intent"] == value
    assert operations.calls == [("set_intent", Scope("rag", "eu-1"), "flag:new", value)]


@pytest.mark.parametrize("path", ["/api/v1/controls/a%20b", "/api/v1/controls/rag/%00"])
async def test_a_scope_that_is_no_name_is_400(client: ClientSession, path: str) -> None:
    async with client.get(path) as response:
        assert response.status == 400


async def test_a_control_of_no_known_kind_is_400(client: ClientSession) -> None:
    async with client.put("/api/v1/controls/rag/eu/what", json={"value": {}}) as response:
        assert response.status == 400
        assert "what" in (await response.json())["error"]


async def test_incidents_are_listed(client: ClientSession, operations: FakeOperations) -> None:
    async with client.get("/api/v1/incidents?open=true&limit=5") as response:
        assert response.status == 200
        answer = await response.json()
    assert [i["id"] for i in answer["incidents"]] == ["inc-1"]
    async with client.get("/api/v1/incidents"):
        pass
    assert operations.calls == [("incidents", True, 5), ("incidents", False, 100)]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=", "limit=%D9%A3", "open=maybe"]
)
async def test_a_bad_query_is_400(client: ClientSession, query: str) -> None:
    async with client.get(f"/api/v1/incidents?{query}") as response:
        assert response.status == 400


async def test_an_incident_is_shown_with_its_journal(client: ClientSession) -> None:
    async with client.get("/api/v1/incidents/inc-1") as response:
        assert response.status == 200
        answer = await response.json()
    assert answer["incident"]["id"] == "inc-1"
    assert answer["journal"][0]["reason"] == "pulled_by_operator"
    assert answer["report_path"] == "/reports/inc-1.md"


@pytest.mark.parametrize("incident_id", ["inc-9", "%2A", "a" * 200])
async def test_an_incident_that_is_not_there_is_404(
    client: ClientSession, incident_id: str
) -> None:
    async with client.get(f"/api/v1/incidents/{incident_id}") as response:
        assert response.status == 404
        assert (await response.json())["error"]


async def test_a_branch_is_pulled_by_hand(
    client: ClientSession, operations: FakeOperations
) -> None:
    command = {"branch": "quality_regression", "scope": "rag/eu-1", "reason": "I saw it"}
    async with client.post("/api/v1/incidents", json=command) as response:
        assert response.status == 201
        assert response.headers["Location"] == "/api/v1/incidents/inc-2"
        assert (await response.json())["pulled_by"] == "local"
    wanted = ("pull", "quality_regression", Scope("rag", "eu-1"), "I saw it", "local")
    assert operations.calls == [wanted]


@pytest.mark.parametrize("decision", [*Decision, "acknowledge"])
async def test_a_person_decides(
    client: ClientSession, operations: FakeOperations, decision: str
) -> None:
    command = {"decision": decision, "reason": "false alarm"}
    async with client.post("/api/v1/incidents/inc-1/decision", json=command) as response:
        assert response.status == 200
    assert operations.calls == [("decide", "inc-1", decision, "local")]


async def test_a_person_releases_a_control(
    client: ClientSession, operations: FakeOperations
) -> None:
    """The answer shows what applications see from now on."""
    path = "/api/v1/controls/rag/eu-1/alias:docs_live/release"
    async with client.post(path, json={"reason": "docs_vB is fixed"}) as response:
        assert response.status == 200
        released = await response.json()
    assert (released["scope"], released["name"]) == ("rag/eu-1", "alias:docs_live")
    assert released["control"]["value"] == {"index": "docs_vB"}
    assert not released["control"]["tripped"]
    wanted = ("release", Scope("rag", "eu-1"), "alias:docs_live", "docs_vB is fixed", "local")
    assert operations.calls == [wanted]


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("/api/v1/incidents", {"branch": "b", "scope": "rag"}),
        ("/api/v1/incidents", {"branch": "b", "scope": "a b", "reason": "r"}),
        ("/api/v1/incidents", {"branch": "b", "scope": "rag", "reason": "r", "force": True}),
        ("/api/v1/incidents/inc-1/decision", {"decision": "explode", "reason": "r"}),
        ("/api/v1/incidents/inc-1/decision", {"decision": "abort", "reason": ""}),
        ("/api/v1/pause", {}),
        ("/api/v1/pause", {"reason": 1}),
        ("/api/v1/unlatch", {"reason": "x"}),
        ("/api/v1/unlatch", {"scope": "rag/eu"}),
        ("/api/v1/unlatch", {"scope": "r ag", "reason": "x"}),
        ("/api/v1/resume", []),
    ],
)
async def test_a_command_that_is_not_as_documented_is_400_and_does_nothing(
    client: ClientSession, operations: FakeOperations, path: str, command: Any
) -> None:
    async with client.post(path, json=command) as response:
        assert response.status == 400
        assert (await response.json())["error"]
    assert operations.calls == []


async def test_pause_and_resume(client: ClientSession, operations: FakeOperations) -> None:
    async with client.post("/api/v1/pause", json={"reason": "migration"}) as response:
        assert response.status == 200
        assert (await response.json())["paused"] is True
    async with client.post(
        "/api/v1/resume", headers={"Content-Type": "application/json"}
    ) as response:
        assert response.status == 200
    (_, pause), (_, resumed) = operations.calls
    assert (pause.reason, pause.by, pause.since_ms) == ("migration", "local", NOW)
    assert resumed is None


async def test_unlatch(client: ClientSession, operations: FakeOperations) -> None:
    """What was released comes back."""
    body = {"scope": "rag/eu", "reason": "the canary was rebuilt"}
    async with client.post("/api/v1/unlatch", json=body) as response:
        assert response.status == 200
        answer = await response.json()
    assert operations.calls == [("unlatch", Scope("rag", "eu"), "local")]
    assert answer["scope"] == "rag/eu"
    assert [latch["reason"] for latch in answer["released"]] == ["flap_latch"]


async def test_an_unlatch_of_what_is_not_latched_says_where_to_look(
    client: ClientSession, operations: FakeOperations
) -> None:
    operations.failure = KeyError("latch on rag/eu")
    body = {"scope": "rag/eu", "reason": "the canary was rebuilt"}
    async with client.post("/api/v1/unlatch", json=body) as response:
        assert response.status == 404
        assert await response.json() == {
            "error": "nothing is latched on `rag/eu`",
            "fix": "`rollbackd status` shows under `guardrails` what is latched",
        }


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_reload(client: ClientSession, operations: FakeOperations, method: str) -> None:
    async with client.request(method, "/-/reload") as response:
        assert response.status == 200
        assert await response.json() == {"reloaded": True, "restart_needed": ["scoring"]}
    assert operations.names() == ["reload"]


async def test_an_expression_is_evaluated_now(
    client: ClientSession, operations: FakeOperations
) -> None:
    async with client.get("/api/v1/query", params={"expr": "delta_s"}) as response:
        assert response.status == 200
        answer = await response.json()
    assert answer["now_ms"] == NOW
    assert answer["vector"][0] == {"labels": {"arm": "canary"}, "value": 0.25}
    assert [e["value"] for e in answer["vector"][1:]] == ["NaN", "Inf", "-Inf"]
    assert operations.calls == [("query", "delta_s")]


@pytest.mark.parametrize("expr", ["", "up{", "x" * 5_000])
async def test_an_expression_that_cannot_be_evaluated_is_400(
    client: ClientSession, expr: str
) -> None:
    async with client.get("/api/v1/query", params={"expr": expr}) as response:
        assert response.status == 400
        assert (await response.json())["error"]


async def test_status(client: ClientSession) -> None:
    async with client.get("/api/v1/status") as response:
        assert await response.json() == {"version": "0.1.0", "paused": False}


async def test_ready_says_why_it_is_not(client: ClientSession, operations: FakeOperations) -> None:
    async with client.get("/-/ready") as response:
        assert (response.status, await response.json()) == (200, {"ready": True, "reasons": []})
    operations.reasons = ["the store does not answer"]
    async with client.get("/-/ready") as response:
        assert response.status == 503
        assert (await response.json())["reasons"] == ["the store does not answer"]
    async with client.get("/-/healthy") as response:
        assert response.status == 200


async def test_the_landing_page_links_to_what_there_is(client: ClientSession) -> None:
    async with client.get("/") as response:
        page = await response.text()
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert len(links) >= 5
    for link in links:
        async with client.get(link) as response:
            assert response.status == HTTPStatus.OK


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "text/plain"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
    ],
)
async def test_metrics_in_both_formats(
    client: ClientSession, telemetry: Telemetry, accept: str, content_type: str
) -> None:
    telemetry.paused.set(1)
    async with client.get("/metrics", headers={"Accept": accept}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith(content_type)
        text = await response.text()
    assert "rollbackd_paused 1.0" in text
    if content_type == "text/plain":
        assert {f.name for f in text_string_to_metric_families(text)} >= {"rollbackd_paused"}


async def test_head_is_answered_wherever_get_is(server: HttpServer, client: ClientSession) -> None:
    for endpoint in server.endpoints:
        if "GET" not in endpoint.methods:
            continue
        path = endpoint.path.format(service="rag", region="eu", id="inc-1", set=known_good().id)
        if path == "/api/v1/query":
            path += "?expr=up"
        if path == "/api/v1/explain":
            path += "?rule=A"
        if path == "/api/v1/reconciliation":
            path += "?scope=rag/eu&from=2026-11-23T10:00:00Z"
        async with client.head(path) as response:
            assert response.status == 200, path
            assert await response.read() == b""


async def test_an_unknown_path_and_a_wrong_method_are_json(
    client: ClientSession, telemetry: Telemetry
) -> None:
    async with client.get("/api/v2/nothing?token=x") as response:
        assert response.status == 404
        assert await response.json() == {"error": "there is no such path"}
    async with client.delete("/api/v1/incidents") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD, POST"
        assert (await response.json())["error"] == "this path takes GET, HEAD, POST"
    assert requests(telemetry, "unmatched", 404) == 1
    assert requests(telemetry, "unmatched", 405) == 1


async def test_paths_never_become_label_values(client: ClientSession, telemetry: Telemetry) -> None:
    for n in range(20):
        async with client.get(f"/api/v1/controls/service-{n}/eu"):
            pass
        async with client.get(f"/nothing/{n}"):
            pass
    assert requests(telemetry, "/api/v1/controls/{service}/{region}", 200) == 20
    assert requests(telemetry, "unmatched", 404) == 20


async def test_every_answer_carries_the_protective_headers(client: ClientSession) -> None:
    for path in ("/", "/-/healthy", "/nothing", "/metrics"):
        async with client.get(path) as response:
            assert response.headers["Server"] == "rollbackd"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert len(response.headers["X-Request-Id"]) == 16
