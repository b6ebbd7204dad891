"""Who is told, as frozen values with their defaults."""

from enum import StrEnum
from pathlib import Path

import msgspec


class Occasion(StrEnum):
    """What a webhook is told of."""

    #: A person is needed.
    PAGE = "page"
    #: A record was written to an incident's journal.
    DECISION = "decision"
    #: A known good set was recorded, promoted or retired.
    KNOWN_GOOD = "known_good"


class ContentMode(StrEnum):
    """The content modes of the CloudEvents Kafka binding."""

    #: Attributes in headers, the data as the record's value.
    BINARY = "binary"
    #: One JSON document with attributes and data.
    STRUCTURED = "structured"


class ReceiverSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an HTTP receiver is reached. Secret files are read again at each request."""

    timeout_ms: int = 10_000
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    bearer_token_file: Path | None = None
    #: Credentials may go over plain HTTP to another machine.
    insecure: bool = False


class AlertmanagerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Every instance of a cluster, never a load balancer before it."""

    urls: list[str]
    resend_ms: int = 30_000
    receiver: ReceiverSettings = ReceiverSettings()


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver of JSON messages; its address is in `url`, or a secret in `url_file`."""

    name: str
    url: str = ""
    url_file: Path | None = None
    occasions: frozenset[Occasion] = frozenset({Occasion.PAGE})
    signing_key_file: Path | None = None
    #: A message that was not taken for so long is given up.
    deadline_ms: int = 300_000
    #: Messages that wait at most; when one more comes, the oldest is given up.
    queue: int = 1_000
    receiver: ReceiverSettings = ReceiverSettings()


class CloudEventsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where decisions are published, at the brokers of `kafka`."""

    topic: str
    mode: ContentMode = ContentMode.BINARY


class NotificationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told, and where the links lead that they get."""

    #: Under which address people reach the HTTP API of this daemon; empty for no links.
    public_url: str = ""
    #: The page that says what to do about each alert.
    runbook_url: str = "docs/notifications.md"
    alertmanager: AlertmanagerSettings | None = None
    webhooks: list[WebhookSettings] = []
    cloudevents: CloudEventsSettings | None = None
