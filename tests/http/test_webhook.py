import json
from typing import Any

import pytest
from aiohttp import ClientSession

from rollbackd.errors import TemporaryError
from rollbackd.http import Limits
from rollbackd.telemetry import Telemetry
from tests.http.conftest import Serve, requests
from tests.http.operations import FakeOperations

PATH = "/api/v1/alertmanager"


def notification(*, count: int = 1, **fields: Any) -> dict[str, Any]:
    alert = {
        "status": "firing",
        "labels": {"alertname": "QualityDrift", "service": "rag"},
        "annotations": {},
        "startsAt": "2026-11-22T20:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
    }
    alerts = [{**alert, "fingerprint": f"{i:016x}"} for i in range(count)]
    return {"version": "4", "status": "firing", "alerts": alerts, **fields}


async def test_a_notification_is_committed_before_the_answer(
    client: ClientSession, operations: FakeOperations, telemetry: Telemetry
) -> None:
    async with client.post(PATH, json=notification(count=3)) as response:
        assert response.status == 200
        assert await response.json() == {"accepted": 3, "new": 3}
    (call,) = operations.calls
    assert call[0] == "accept_alerts"
    assert [a.name for a in call[1]] == ["QualityDrift"] * 3
    assert requests(telemetry, PATH, 200) == 1


async def test_alerts_that_were_left_out_are_counted(
    client: ClientSession, operations: FakeOperations, telemetry: Telemetry
) -> None:
    async with client.post(PATH, json=notification(truncatedAlerts=5)) as response:
        assert response.status == 200
    assert telemetry.registry.get_sample_value("rollbackd_truncated_alerts_total") == 5
    assert operations.calls[0][1][0].truncated


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'{"alerts": 1}', b'{"alerts": [{}]}', b"\xff\xfe", b"[" * 9000],
)
async def test_a_body_that_is_no_notification_is_buried_and_refused(
    client: ClientSession, operations: FakeOperations, telemetry: Telemetry, body: bytes
) -> None:
    async with client.post(PATH, data=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]
    (call,) = operations.calls
    assert call[:3] == ("bury", "alertmanager", body)
    failures = telemetry.registry.get_sample_value(
        "rollbackd_decode_failures_total", {"source": "alertmanager"}
    )
    assert failures == 1


async def test_the_position_of_a_bad_alert_is_named(client: ClientSession) -> None:
    body = notification(count=2)
    body["alerts"][1]["startsAt"] = "1900-01-01T00:00:00Z"
    body["alerts"][1]["startsAt"] = "yesterday"
    async with client.post(PATH, data=json.dumps(body)) as response:
        assert response.status == 400
        answer = await response.json()
    assert "alerts[" in answer["error"] or answer["position"] == 1


async def test_a_store_that_is_away_is_503_with_retry_after(
    client: ClientSession, operations: FakeOperations
) -> None:
    operations.failure = TemporaryError("the store does not answer", delay_ms=2_500)
    async with client.post(PATH, json=notification()) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "3"
        assert await response.json() == {"error": "the store does not answer"}


async def test_a_bad_body_that_cannot_be_buried_is_503(
    client: ClientSession, operations: FakeOperations
) -> None:
    operations.failure = TemporaryError("the store does not answer")
    async with client.post(PATH, data=b"{}") as response:
        assert response.status == 503


async def test_a_commit_that_hangs_is_503(serve: Serve, operations: FakeOperations) -> None:
    operations.hang = True
    server = await serve(limits=Limits(answer_seconds=0.05))
    url = f"http://127.0.0.1:{server.port}{PATH}"
    async with ClientSession() as session, session.post(url, json=notification()) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
