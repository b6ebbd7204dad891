"""CloudEvents over HTTP."""

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from rollbackd.errors import TemporaryError
from tests.http.operations import FakeOperations

PATH = "/api/v1/cloudevents"
DATA = {"service": "rag", "arm": "canary", "values": {"delta_s": 0.3}}
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "e-1",
    "ce-source": "/rag",
    "ce-type": "answer.served",
    "Content-Type": "application/json",
}


def structured(number: int) -> dict[str, Any]:
    attributes = {"specversion": "1.0", "id": f"e-{number}", "source": "/rag", "type": "a.served"}
    return {**attributes, "data": DATA}


@pytest.mark.parametrize(
    ("headers", "body", "count"),
    [
        (BINARY, DATA, 1),
        ({"Content-Type": "application/cloudevents+json"}, structured(1), 1),
        (
            {"Content-Type": "application/cloudevents-batch+json"},
            [structured(n) for n in range(3)],
            3,
        ),
    ],
)
async def test_each_mode_is_taken_once(
    client: ClientSession,
    operations: FakeOperations,
    headers: dict[str, str],
    body: object,
    count: int,
) -> None:
    for expected in ((count, 0), (0, count)):
        async with client.post(PATH, data=json.dumps(body), headers=headers) as response:
            assert response.status == 200
            answer = await response.json()
        assert (answer["accepted"], answer["duplicates"]) == expected
    assert [len(call[1].samples) for call in operations.calls] == [count]


async def test_what_the_store_did_not_take_is_new_when_it_comes_again(
    client: ClientSession, operations: FakeOperations
) -> None:
    operations.failure = TemporaryError("down", delay_ms=1_000)
    async with client.post(PATH, json=DATA, headers=BINARY) as response:
        assert response.status == 503
    operations.failure = None
    async with client.post(PATH, json=DATA, headers=BINARY) as response:
        assert (await response.json())["accepted"] == 1


async def test_what_is_no_event_is_buried(
    client: ClientSession, operations: FakeOperations
) -> None:
    async with client.post(PATH, json=DATA) as response:
        assert response.status == 400
        assert "specversion" in (await response.json())["error"]
    assert operations.names() == ["bury"]
