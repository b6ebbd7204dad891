"""Receipts compared over HTTP, and accepting what a person has looked at."""

import pytest
from aiohttp import ClientSession

from rollbackd.model.labels import Scope
from tests.http.operations import FakeOperations

_OF_INCIDENT = "/api/v1/incidents/inc-1/reconciliation"
_OF_SCOPE = "/api/v1/reconciliation"


async def test_an_incident_is_compared(client: ClientSession, operations: FakeOperations) -> None:
    async with client.get(_OF_INCIDENT) as response:
        assert response.status == 200
        assert (await response.json())["listing"] == "payments"
    assert operations.calls == [("reconciliation", "inc-1")]


async def test_an_incident_that_is_not_there(
    client: ClientSession, operations: FakeOperations
) -> None:
    operations.known.clear()
    async with client.get(_OF_INCIDENT) as response:
        assert response.status == 404


@pytest.mark.parametrize(("to", "to_ms"), [("", None), ("1970-01-01T00:00:02+00:00", 2_000)])
async def test_a_time_is_compared(
    client: ClientSession, operations: FakeOperations, to: str, to_ms: int | None
) -> None:
    """Up to now without an end."""
    params = {"scope": "pay/eu-1", "from": "1970-01-01T00:00:01Z", **({"to": to} if to else {})}
    async with client.get(_OF_SCOPE, params=params) as response:
        assert response.status == 200
    assert operations.calls == [("compare_receipts", Scope("pay", "eu-1"), 1_000, to_ms)]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"scope": "pay"}, "`from` is missing"),
        ({"scope": "pay", "from": "yesterday"}, "`from=yesterday` is no time"),
        ({"scope": "pay", "from": "1970-01-01T00:00:01"}, "is no time"),
        ({"scope": "pay", "from": "1970-01-01T00:00:01Z", "to": "x"}, "`to=x` is no time"),
        ({"from": "1970-01-01T00:00:01Z"}, "is not a scope name"),
    ],
)
async def test_a_question_that_is_none_is_refused(
    client: ClientSession, operations: FakeOperations, params: dict[str, str], said: str
) -> None:
    async with client.get(_OF_SCOPE, params=params) as response:
        assert response.status == 400
        assert said in (await response.json())["error"]
    assert operations.calls == []


async def test_items_are_accepted_under_the_caller_s_name(
    client: ClientSession, operations: FakeOperations
) -> None:
    """With a reason; the answer is what is left."""
    body = {"keys": ["k1"], "reason": "refunded"}
    async with client.post(_OF_INCIDENT, json=body) as response:
        assert response.status == 200
        assert (await response.json())["listing"] == "payments"
    ((name, incident_id, keys, _, because),) = operations.calls
    assert (name, incident_id, keys, because) == ("accept_items", "inc-1", ["k1"], "refunded")


@pytest.mark.parametrize("body", [{}, {"keys": ["k"]}, {"keys": [""], "reason": "x"}])
async def test_accepting_without_a_reason_is_refused(
    client: ClientSession, operations: FakeOperations, body: dict[str, object]
) -> None:
    async with client.post(_OF_INCIDENT, json=body) as response:
        assert response.status == 400
    assert operations.calls == []
