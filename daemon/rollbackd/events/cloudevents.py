"""CloudEvents 1.0 around native events and Alertmanager notifications.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md, its JSON format (structured
mode and batches) and its Kafka and HTTP bindings (binary mode: attributes in headers).
"""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import orjson

from rollbackd.events.json import decode_json
from rollbackd.model.events import Rejected

Headers = Sequence[tuple[str, bytes | None]]

STRUCTURED: Final = "application/cloudevents"
BATCH: Final = "application/cloudevents-batch"
MAX_EVENTS: Final = 50_000

#: Prefixes of attributes in headers: Kafka's and HTTP's.
_PREFIXES: Final = ("ce_", "ce-")


class CloudEvent(msgspec.Struct, kw_only=True):
    """One event: what it is about, and what the producer said, as bytes."""

    specversion: str
    id: str
    source: str
    type: str
    time: str | None = None
    datacontenttype: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    data_base64: str | None = None

    def payload(self) -> bytes:
        """The data as a native event or a notification. Raises Rejected.

        A native event that does not say what it is or when it was takes that from the envelope.
        """
        self._check()
        body = self._bytes()
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError:
            return body  # the decoder says what is wrong with it
        if not isinstance(said, dict) or isinstance(said.get("alerts"), list):
            return body
        if "event" in said and ("ts" in said or self.time is None):
            return body
        said.setdefault("event", self.type)
        if self.time is not None:
            said.setdefault("ts", self.time)
        try:
            return orjson.dumps(said)
        except orjson.JSONEncodeError:
            raise Rejected("`data` cannot be written as JSON") from None

    def _check(self) -> None:
        if not self.specversion.startswith("1."):
            raise Rejected(f"`specversion`: `{self.specversion[:40]}` is not read, only 1.0")
        for name in ("id", "source", "type"):
            if not getattr(self, name):
                raise Rejected(f"`{name}` is empty; a CloudEvent has an id, a source and a type")
        content = (self.datacontenttype or "application/json").partition(";")[0].strip().lower()
        if content != "application/json" and not content.endswith("+json"):
            raise Rejected(f"`datacontenttype`: `{content[:80]}` is not read, only JSON")

    def _bytes(self) -> bytes:
        if self.data_base64 is not None:
            try:
                return base64.b64decode(self.data_base64, validate=True)
            except (binascii.Error, ValueError) as error:
                raise Rejected(f"`data_base64` is not base64: {error}") from None
        body = bytes(self.data)
        if not body or body == b"null":
            raise Rejected("a CloudEvent without data says nothing here")
        # JSON inside of a JSON string is how some producers write it
        return _unquoted(body) if body[:1] == b'"' else body


_ONE: Final = msgspec.json.Decoder(CloudEvent)
_MANY: Final = msgspec.json.Decoder(list[CloudEvent])


def content_type(headers: Headers) -> str:
    """The content type of a record in lower case, or an empty text."""
    for name, content in headers:
        if content is not None and name.lower() == "content-type":
            return content.decode("utf-8", "replace").lower()
    return ""


def is_cloudevent(headers: Headers) -> bool:
    """Whether the headers say that a record is a CloudEvent, in either mode."""
    return any(
        content is not None
        and (
            name.lower() in {"ce_specversion", "ce-specversion"}
            or (name.lower() == "content-type" and content.lower().startswith(STRUCTURED.encode()))
        )
        for name, content in headers
    )


def events_of(body: bytes, headers: Headers) -> list[CloudEvent]:
    """The events of a record or body in binary mode, structured mode or a batch. Raises Rejected.

    Without headers that say which, a list is a batch and anything else is structured.
    """
    attributes = _attributes(headers)
    if "specversion" in attributes and not content_type(headers).startswith(STRUCTURED):
        return [_binary(body, attributes, content_type(headers))]
    if body.lstrip()[:1] != b"[":
        return [decode_json(_ONE, body)]
    events = decode_json(_MANY, body)
    if len(events) > MAX_EVENTS:
        raise Rejected(f"{len(events)} events; at most {MAX_EVENTS} are allowed")
    return events


class SeenEvents:
    """Which events were taken: source and id, the newest `size` of them."""

    def __init__(self, size: int = 100_000) -> None:
        self._size = size
        self._seen: dict[tuple[str, str], None] = {}

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._seen

    def add(self, keys: Iterable[tuple[str, str]]) -> None:
        """Remember events."""
        for key in keys:
            self._seen[key] = None
            if len(self._seen) > self._size:
                del self._seen[next(iter(self._seen))]

    def discard(self, keys: Iterable[tuple[str, str]]) -> None:
        """They were not taken after all."""
        for key in keys:
            self._seen.pop(key, None)


def _attributes(headers: Headers) -> dict[str, str]:
    return {
        name[3:].lower(): content.decode("utf-8", "replace")
        for name, content in headers
        if content is not None and name.lower().startswith(_PREFIXES)
    }


def _binary(body: bytes, attributes: Mapping[str, str], content: str) -> CloudEvent:
    known: dict[str, Any] = {
        name: attributes.get(name, "") for name in ("specversion", "id", "source", "type")
    }
    return CloudEvent(
        **known,
        time=attributes.get("time"),
        datacontenttype=content or None,
        data=msgspec.Raw(body),
    )


def _unquoted(text: bytes) -> bytes:
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # the decoder says what is wrong with it
    return said.encode() if isinstance(said, str) else text
