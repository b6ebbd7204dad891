"""Known good sets over HTTP."""

import aiohttp
import pytest

from rollbackd.errors import TemporaryError
from rollbackd.model.known_good import PinRequest, SetStatus
from rollbackd.model.labels import Scope
from rollbackd.ports import ScopeBusyError
from tests.http.known_good_desk import NOW, FakeDesk, known_good

PINS = "/api/v1/pins"
BODY = {"scope": "rag/eu-1", "pins": {"prompt_rev": "p-11"}, "window": "2m", "note": "before 12"}


async def test_a_set_is_recorded(client: aiohttp.ClientSession, desk: FakeDesk) -> None:
    """201 with where it is, what is in force, and all that was left out."""
    headers = {"Idempotency-Key": "run-1"}
    async with client.post(PINS, json={**BODY, "candidate": True}, headers=headers) as response:
        document = await response.json()
    assert response.status == 201
    set_id = known_good().id
    assert response.headers["Location"] == f"{PINS}/{set_id}"
    assert desk.requests == [
        (
            PinRequest(
                scope=Scope("rag", "eu-1"),
                pins={"PROMPT_VER": "p-11"},
                window_ms=120_000,
                note="before 12",
                status=SetStatus.CANDIDATE,
                key="run-1",
            ),
            "local",
        )
    ]
    assert document["set"] == {
        "id": set_id,
        "scope": "rag/eu-1",
        "pins": {"PROMPT_VER": "p-11"},
        "recorded_at_ms": NOW,
        "controls": {"alias:docs_live": {"index": "docs_vA"}},
        "targets": {},
        "baseline": {"delta_s": {"p95": 0.41, "count": 1800.0}},
        "window_ms": 300_000,
        "by": "ci",
        "note": "",
        "status": "good",
        "status_at_ms": 0,
        "status_by": "",
        "in_force": True,
    }
    del document["set"]
    assert document == {
        "in_force": set_id,
        "is_new": True,
        "missing": ["GIT_SHA"],
        "not_measured": ["coverage"],
        "not_observed": {"qdrant:docs": "no answer"},
    }


async def test_a_repetition_is_no_new_set(client: aiohttp.ClientSession) -> None:
    async with client.post(PINS, json=BODY):
        pass
    async with client.post(PINS, json=BODY) as response:
        document = await response.json()
    assert (response.status, document["is_new"]) == (200, False)
    assert "Location" not in response.headers


async def test_defaults(client: aiohttp.ClientSession, desk: FakeDesk) -> None:
    """A window as long as what is kept, of the baseline arm, and good at once."""
    async with client.post(PINS, json={"scope": "rag", "from_live": True}) as response:
        assert response.status == 201
    assert desk.requests[0][0] == PinRequest(scope=Scope("rag"), from_live=True)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "scope"),
        ({"scope": "rag/e u"}, "region `e u`"),
        ({"scope": "rag", "pin": {}}, "pin"),
        ({"scope": "rag", "pins": {"A": 1}}, "$.pins"),
        ({"scope": "rag", "pins": {"a b": "1"}}, "a b"),
        ({"scope": "rag", "window": "5 minutes"}, "5 minutes"),
        ({"scope": "rag", "arm": "a b"}, "a b"),
        ({"scope": "rag", "baseline": {"delta_s": {"p95": "x"}}}, "$.baseline"),
        ({"scope": "rag", "baseline": {"a b": {"p95": 1}}}, "a b"),
        ({"scope": "rag", "note": "x" * 1_001}, "note"),
    ],
)
async def test_what_cannot_be_recorded_is_named(
    client: aiohttp.ClientSession, desk: FakeDesk, body: object, says: str
) -> None:
    async with client.post(PINS, json=body) as response:
        assert response.status == 400
        assert says in (await response.json())["error"]
    assert desk.requests == []


async def test_a_key_must_be_readable(client: aiohttp.ClientSession, desk: FakeDesk) -> None:
    async with client.post(PINS, json=BODY, headers={"Idempotency-Key": "k" * 256}) as response:
        assert response.status == 400
    assert desk.requests == []


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ValueError("required pins are missing: GIT_SHA"), 400),
        (ScopeBusyError("inc-7"), 409),
        (TemporaryError("the store is away"), 503),
    ],
)
async def test_a_refusal_has_its_status(
    client: aiohttp.ClientSession, desk: FakeDesk, failure: Exception, status: int
) -> None:
    desk.failure = failure
    async with client.post(PINS, json=BODY) as response:
        assert response.status == status
        assert str(failure) in (await response.json())["error"]


async def test_sets_are_listed(client: aiohttp.ClientSession) -> None:
    async with client.get(PINS, params={"scope": "rag/eu-1", "limit": "1"}) as response:
        (found,) = (await response.json())["sets"]
    assert (found["id"], found["in_force"]) == (known_good().id, True)
    async with client.get(PINS) as response:
        assert [s["in_force"] for s in (await response.json())["sets"]] == [True, False]
    async with client.get(PINS, params={"scope": "other"}) as response:
        assert await response.json() == {"sets": []}


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", ""])
async def test_a_limit_is_checked(client: aiohttp.ClientSession, limit: str) -> None:
    async with client.get(PINS, params={"limit": limit}) as response:
        assert response.status == 400


async def test_one_set_is_shown(client: aiohttp.ClientSession) -> None:
    async with client.get(f"{PINS}/{known_good().id}") as response:
        document = await response.json()
    assert document["set"]["id"] == document["in_force"] == known_good().id


@pytest.mark.parametrize("set_id", ["KG-20261123T024455-00000000", "x", "KG-%2e%2e%2f"])
async def test_an_unknown_set_is_404(client: aiohttp.ClientSession, set_id: str) -> None:
    async with client.get(f"{PINS}/{set_id}") as response:
        assert response.status == 404
    async with client.post(f"{PINS}/{set_id}/promote", json={"reason": "x"}) as response:
        assert response.status == 404


async def test_a_set_is_promoted_and_retired(client: aiohttp.ClientSession) -> None:
    """By whoever called, with a reason."""
    old = known_good("p-10", recorded_at_ms=1).id
    async with client.post(f"{PINS}/{old}/promote", json={"reason": "12 is bad"}) as response:
        document = await response.json()
    assert (response.status, document["in_force"]) == (200, old)
    assert (document["set"]["status_by"], document["set"]["in_force"]) == ("local", True)
    async with client.post(f"{PINS}/{old}/retire", json={"reason": "so is 10"}) as response:
        document = await response.json()
    assert (document["set"]["status"], document["in_force"]) == ("retired", "")
    async with client.post(f"{PINS}/{old}/retire", json={}) as response:
        assert response.status == 400


async def test_what_runs_now_is_shown(client: aiohttp.ClientSession) -> None:
    async with client.get(f"{PINS}/live/rag/eu-1") as response:
        assert await response.json() == {
            "scope": "rag/eu-1",
            "arms": {"baseline": {"PROMPT_VER": "p-12"}},
            "controls": {"alias:docs_live": {"index": "docs_vB"}},
            "targets": {"qdrant:docs": {"value": {"to": "docs_vB"}, "facts": {"documents": 7}}},
            "not_observed": {"edge:docs": "no answer within 3 s"},
            "in_force": known_good().id,
        }
