"""Asking why a rule fires."""

import pytest
from aiohttp import ClientSession

from rollbackd.model.labels import Scope
from tests.http.operations import FakeOperations


async def test_a_rule_is_explained(client: ClientSession, operations: FakeOperations) -> None:
    """What was asked goes to the engine as it is; an empty scope and time are all and now."""
    query = {"rule": "QualityDrift", "scope": "rag/eu", "at": "2026-11-22T20:05:00Z", "limit": "7"}
    async with client.get("/api/v1/explain", params=query) as response:
        assert response.status == 200
        answer = await response.json()
    async with client.get("/api/v1/explain?rule=QualityDrift&scope=rag"):
        pass
    async with client.get("/api/v1/explain?rule=QualityDrift"):
        pass
    (found,) = answer["explanations"]
    assert found["because"] == ["no elements: `x` has no series"]
    assert found["tree"]["gist"] == "x"
    assert answer["now_ms"] >= 0
    assert operations.calls == [
        ("explain", "QualityDrift", Scope("rag", "eu"), "2026-11-22T20:05:00Z", 7),
        ("explain", "QualityDrift", Scope("rag", "global"), "", 20),
        ("explain", "QualityDrift", None, "", 20),
    ]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "`rule` is the name"),
        ("rule=", "`rule` is the name"),
        (f"rule={'x' * 600}", "`rule` is the name"),
        ("rule=A&scope=a%20b/c", "not a scope name"),
        ("rule=A&limit=0", "`limit=0` must be"),
        ("rule=A&limit=1001", "`limit=1001` must be"),
        ("rule=A&limit=%D9%A3", "must be 1 to"),
        ("rule=Unknown", "did you mean"),
    ],
)
async def test_a_bad_question_is_400(client: ClientSession, query: str, said: str) -> None:
    async with client.get(f"/api/v1/explain?{query}") as response:
        assert response.status == 400
        assert said in (await response.json())["error"]
