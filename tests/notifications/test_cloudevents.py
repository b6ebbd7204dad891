"""A journal record as CloudEvents 1.0 has it."""

import json
import math
from typing import Any

import pytest

from rollbackd.model.incidents import State
from rollbackd.notifications.cloudevents import KafkaMessage, kafka_message
from rollbackd.notifications.links import Links
from rollbackd.settings import ContentMode
from tests.notifications.samples import incident_in, record_of

#: What the specification requires, and the attributes that it names beyond that.
REQUIRED = {"specversion", "id", "source", "type"}
OPTIONAL = {"datacontenttype", "dataschema", "subject", "time"}

DATA = {
    "incident": "INC-1",
    "service": "rag",
    "region": "eu-1",
    "branch": "quality_regression",
    "sequence": 2,
    "at": "2026-09-21T14:12:20.000Z",
    "event": "Continued",
    "from_state": "detected",
    "to_state": "capturing",
    "reason": "trigger_fired",
    "detail": {"rule": "QualityDrift", "value": 0.5},
    "audit_hash": "",
}


def message(mode: ContentMode, *, public_url: str = "", **record: Any) -> KafkaMessage:
    incident = incident_in(State.CAPTURING, version=2)
    return kafka_message(
        incident,
        record_of(incident, State.DETECTED, **record),
        Links(public_url=public_url),
        mode,
    )


def test_binary_mode_has_the_attributes_in_headers() -> None:
    sent = message(ContentMode.BINARY)
    headers = {name: value.decode() for name, value in sent.headers}
    assert headers.pop("content-type") == "application/json"
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": "INC-1/2",
        "ce_source": "/rollbackd",
        "ce_type": "io.rollbackd.decision",
        "ce_subject": "rag/eu-1",
        "ce_time": "2026-09-21T14:12:20.000Z",
        "ce_partitionkey": "rag/eu-1",
    }
    assert json.loads(sent.value) == DATA
    assert sent.key == b"rag/eu-1"


def test_structured_mode_is_one_document() -> None:
    sent = message(ContentMode.STRUCTURED, public_url="https://r.example")
    assert sent.headers == [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    document = json.loads(sent.value)
    assert document.pop("data") == DATA
    assert document["source"] == "https://r.example"
    assert document["datacontenttype"] == "application/json"
    assert REQUIRED <= document.keys() <= REQUIRED | OPTIONAL | {"partitionkey"}
    assert sent.key == document["partitionkey"].encode()


@pytest.mark.parametrize("mode", ContentMode)
def test_the_value_is_json_whatever_the_detail_is(mode: ContentMode) -> None:
    """NaN is what JSON has no word for."""
    sent = message(mode, detail={"value": math.nan, "states": {State.WATCHING}, 5: "ä"})
    document = json.loads(sent.value, parse_constant=pytest.fail)
    detail = document.get("data", document)["detail"]
    assert detail["value"] is None
    assert detail["5"] == "ä"


def test_an_attribute_name_is_lower_case_letters_and_digits() -> None:
    names = [name.removeprefix("ce_") for name, _ in message(ContentMode.BINARY).headers]
    assert all(n.isalnum() and n.islower() for n in names if n != "content-type")
