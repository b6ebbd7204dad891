"""A journal record as a CloudEvent on Kafka. Pure.

CloudEvents 1.0.2 with its Kafka protocol binding and JSON event format,
https://github.com/cloudevents/spec/tree/v1.0.2/cloudevents.
"""

from typing import Final

import msgspec

from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.notifications.links import Links, rfc3339
from rollbackd.notifications.messages import as_json, decision, event_id
from rollbackd.settings import ContentMode

TYPE: Final = "io.rollbackd.decision"
#: The `source` of a daemon without a public URL; any URI-reference may be one.
SOURCE: Final = "/rollbackd"


class KafkaMessage(msgspec.Struct, frozen=True):
    """A record as it goes to the broker."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def kafka_message(
    incident: Incident,
    record: JournalRecord,
    links: Links,
    mode: ContentMode,
    *,
    with_detail: bool = True,
) -> KafkaMessage:
    """The event of a record, keyed by the scope so that a scope's events keep their order."""
    attributes = _attributes(incident, record, links)
    data = _data(incident, record, with_detail=with_detail)
    key = str(incident.scope).encode()
    if mode is ContentMode.STRUCTURED:
        headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
        document = {**attributes, "datacontenttype": "application/json", "data": data}
        return KafkaMessage(key, as_json(document), headers)
    headers = [("content-type", b"application/json")]
    headers += [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    return KafkaMessage(key, as_json(data), headers)


def _attributes(incident: Incident, record: JournalRecord, links: Links) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "id": event_id(record),
        "source": links.public_url or SOURCE,
        "type": TYPE,
        "subject": str(incident.scope),
        "time": rfc3339(record.at_ms),
        # The `partitionkey` extension: what the binding makes the record's key of.
        "partitionkey": str(incident.scope),
    }


def _data(incident: Incident, record: JournalRecord, *, with_detail: bool) -> dict[str, object]:
    data = {
        "incident": incident.id,
        "service": incident.scope.service,
        "region": incident.scope.region,
        "branch": incident.branch,
        **decision(record),
    }
    return data if with_detail else {**data, "detail": {}, "detail_omitted": True}
