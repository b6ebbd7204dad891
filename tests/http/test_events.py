import asyncio
import io
import json
from typing import Any

import pytest
from aiohttp import ClientSession

from rollbackd.errors import TemporaryError
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.http.events import MAX_NAMED
from rollbackd.telemetry import Telemetry
from tests.http.operations import FakeOperations

PATH = "/api/v1/events"


def event(**fields: Any) -> dict[str, Any]:
    plain = {"event": "answer.served", "service": "rag", "arm": "canary"}
    return {**plain, "values": {"delta_s": 0.3}, **fields}


def as_lines(*items: Any) -> bytes:
    return b"\n".join(json.dumps(item).encode() for item in items)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (json.dumps(event()).encode(), 1),
        (json.dumps([event(), event(), event()]).encode(), 3),
        (as_lines(event(), event()), 2),
        (json.dumps(event(), indent=2).encode(), 1),
        (b"[]", 0),
    ],
)
async def test_one_object_an_array_and_lines_are_taken_as_one_batch(
    client: ClientSession, operations: FakeOperations, body: bytes, count: int
) -> None:
    async with client.post(PATH, data=body) as response:
        assert response.status == 200
        assert await response.json() == {"accepted": count, "rejected": []}
    assert operations.names() == ["ingest"] * bool(count)
    if count:
        _, batch, source = operations.calls[0]
        assert len(batch.samples) == count
        assert source == "http"


@pytest.mark.parametrize("array", [True, False])
async def test_bad_items_are_buried_and_named_and_good_ones_are_taken(
    client: ClientSession, operations: FakeOperations, telemetry: Telemetry, *, array: bool
) -> None:
    items = [event(), {"nothing": 1}, event(), event(values={"x": "y"})]
    body = json.dumps(items).encode() if array else as_lines(*items)
    async with client.post(PATH, data=body) as response:
        assert response.status == 400
        answer = await response.json()
    assert answer["accepted"] == 2
    assert answer["rejected_total"] == 2
    assert [item["index"] for item in answer["rejected"]] == [1, 3]
    assert operations.names() == ["bury", "bury", "ingest"]
    assert json.loads(operations.calls[0][2]) == {"nothing": 1}
    assert json.loads(operations.calls[1][2]) == items[3]
    assert len(operations.calls[2][1].samples) == 2
    failures = telemetry.registry.get_sample_value(
        "rollbackd_decode_failures_total", {"source": "http"}
    )
    assert failures == 2


@pytest.mark.parametrize("body", [b"", b"hello", b"[1,", b"\xff", b"[" * 9000, b'{"a":NaN}'])
async def test_a_body_that_is_no_json_is_buried_whole(
    client: ClientSession, operations: FakeOperations, body: bytes
) -> None:
    async with client.post(PATH, data=body) as response:
        assert response.status == 400
        assert (await response.json())["accepted"] == 0
    assert operations.calls[0][:3] == ("bury", "http", body)


async def test_many_bad_items_are_named_up_to_a_bound(
    client: ClientSession, operations: FakeOperations
) -> None:
    async with client.post(PATH, json=[{}] * (MAX_NAMED + 50)) as response:
        assert response.status == 400
        answer = await response.json()
    assert len(answer["rejected"]) == MAX_NAMED
    assert answer["rejected_total"] == MAX_NAMED + 50
    assert operations.names() == ["bury"] * (MAX_NAMED + 1)
    assert operations.calls[-1][3] == "50 more events of this body are bad"


async def test_a_full_engine_is_503_and_not_a_promise(
    client: ClientSession, operations: FakeOperations
) -> None:
    operations.failure = TemporaryError("the engine is full")
    async with client.post(PATH, json=event()) as response:
        assert response.status == 503
        assert "Retry-After" in response.headers


async def test_others_get_a_turn_while_a_long_body_is_decoded(client: ClientSession) -> None:
    body = as_lines(*[event()] * 20_000)
    sending = asyncio.create_task(_post(client, io.BytesIO(body)))
    answered = 0
    while not sending.done():
        async with client.get("/-/healthy") as response:
            assert response.status == 200
        answered += not sending.done()
    assert await sending == {"accepted": 20_000, "rejected": []}
    assert answered > 3


async def _post(client: ClientSession, body: io.BytesIO) -> Any:
    async with client.post(PATH, data=body) as response:
        return await response.json()


THEIRS = """
service: $.app
events:
  - {event: answer.served, code: $.status, values: {latency_seconds: {path: $.ms, unit: ms -> s}}}
"""


@pytest.fixture
def mappings() -> dict[str, FieldMapping]:
    return {"theirs": FieldMapping.read(THEIRS, file="theirs.yaml")}


async def test_events_of_others_are_read_by_the_mapping_that_is_named(
    client: ClientSession, operations: FakeOperations
) -> None:
    body = as_lines({"app": "rag", "status": 200, "ms": 412}, {"app": "rag", "ms": "soon"})
    async with client.post(f"{PATH}?mapping=theirs", data=body) as response:
        assert response.status == 400
        answer = await response.json()
    assert answer["accepted"] == 1
    assert answer["rejected"][0]["index"] == 1
    assert "`$.ms` is `soon`" in answer["rejected"][0]["error"]
    bury, ingest = operations.calls
    assert bury[0] == "bury"
    assert [sample.value for sample in ingest[1].samples] == [0.412, 1.0]


async def test_a_mapping_that_is_not_there_is_named_with_those_that_are(
    client: ClientSession, operations: FakeOperations
) -> None:
    async with client.post(f"{PATH}?mapping=their", data=b"{}") as response:
        assert response.status == 400
        assert "no mapping `their`; there are `theirs`" in (await response.json())["error"]
    assert operations.calls == []
