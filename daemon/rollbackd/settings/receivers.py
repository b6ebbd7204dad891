"""Reading `notifications:`, with every problem at its place."""

from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from rollbackd.documents.reader import Fields, Reader
from rollbackd.settings.notifications import (
    AlertmanagerSettings,
    CloudEventsSettings,
    ContentMode,
    NotificationSettings,
    Occasion,
    ReceiverSettings,
    WebhookSettings,
)
from rollbackd.settings.scalars import optional_file

_RECEIVER: Final = (
    "timeout", "ca_file", "cert_file", "key_file", "username", "password_file",
    "bearer_token_file", "insecure",
)  # fmt: skip
#: Kafka's own rule for the name of a topic.
_TOPIC_CHARACTERS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
)
_TOPIC_LENGTH: Final = 249
_QUEUE: Final = WebhookSettings(name="").queue


def read_notifications(reader: Reader, folder: Path) -> NotificationSettings:
    """The whole block."""
    f = reader.fields(("public_url", "runbook_url", "alertmanager", "webhooks", "cloudevents"))
    default = NotificationSettings()
    return NotificationSettings(
        public_url=f.read("public_url", _url, "").rstrip("/"),
        runbook_url=f.read("runbook_url", Reader.string, default.runbook_url),
        alertmanager=f.read("alertmanager", lambda r: _alertmanager(r, folder), None),
        webhooks=f.read("webhooks", lambda r: _webhooks(r, folder), []),
        cloudevents=f.read("cloudevents", _cloudevents, None),
    )


def _alertmanager(reader: Reader, folder: Path) -> AlertmanagerSettings:
    f = reader.fields(("urls", "resend", *_RECEIVER), required=("urls",))
    urls: list[str] = f.read("urls", _urls, [])
    repeated = {url for url in urls if url and urls.count(url) > 1}
    for url in sorted(repeated):
        f.problem("urls", "config/notifier-repeated", f"`{url}` stands in `urls` more than once")
    return AlertmanagerSettings(
        urls=urls,
        resend_ms=f.read("resend", Reader.positive_duration_ms, 30_000),
        receiver=_receiver(f, folder, urls),
    )


def _urls(reader: Reader) -> list[str]:
    return [_url(item).rstrip("/") for item in reader.items()]


def _webhooks(reader: Reader, folder: Path) -> list[WebhookSettings]:
    webhooks: list[WebhookSettings] = []
    for item in reader.items():
        webhook = _webhook(item, folder)
        if webhook.name in {other.name for other in webhooks}:
            item.problem(
                "config/notifier-repeated",
                f"two webhooks have the name `{webhook.name}`",
                fix="the name tells them apart in metrics and logs",
            )
        webhooks.append(webhook)
    return webhooks


def _webhook(reader: Reader, folder: Path) -> WebhookSettings:
    own = ("name", "url", "url_file", "events", "signing_key_file", "deadline", "queue")
    f = reader.fields((*own, *_RECEIVER), required=("name",))
    url, url_file = f.read("url", _url, ""), optional_file(f, "url_file", folder)
    _check_exclusive(f, "url", "url_file")
    if "url" not in f and "url_file" not in f:
        reader.problem("key/missing", "`url` or `url_file` is missing", fix="add `url:`")
    words = [o.value for o in Occasion]
    return WebhookSettings(
        name=f.read("name", Reader.string, ""),
        url=url,
        url_file=url_file,
        occasions=f.read(
            "events",
            lambda r: frozenset(Occasion(i.choice(words, Occasion.PAGE)) for i in r.items()),
            WebhookSettings(name="").occasions,
        ),
        signing_key_file=optional_file(f, "signing_key_file", folder),
        deadline_ms=f.read("deadline", Reader.positive_duration_ms, 300_000),
        queue=f.read("queue", lambda r: r.integer(_QUEUE, minimum=1, maximum=100_000), _QUEUE),
        receiver=_receiver(f, folder, [url]),
    )


def _cloudevents(reader: Reader) -> CloudEventsSettings:
    f = reader.fields(("topic", "mode"), required=("topic",))
    modes = [mode.value for mode in ContentMode]
    return CloudEventsSettings(
        topic=f.read("topic", _topic, ""),
        mode=ContentMode(f.read("mode", lambda r: r.choice(modes, ContentMode.BINARY), modes[0])),
    )


def _topic(reader: Reader) -> str:
    name = reader.string()
    if not name or len(name) > _TOPIC_LENGTH or not _TOPIC_CHARACTERS.issuperset(name):
        reader.problem(
            "value/choice",
            f"`{name[:300]}` cannot be the name of a topic; use 1 to 249 of A-Z a-z 0-9 . _ -",
        )
    return name


def _receiver(fields: Fields, folder: Path, urls: list[str]) -> ReceiverSettings:
    f = fields
    settings = ReceiverSettings(
        timeout_ms=f.read("timeout", Reader.positive_duration_ms, 10_000),
        ca_file=optional_file(f, "ca_file", folder),
        cert_file=optional_file(f, "cert_file", folder),
        key_file=optional_file(f, "key_file", folder),
        username=f.read("username", Reader.string, None),
        password_file=optional_file(f, "password_file", folder),
        bearer_token_file=optional_file(f, "bearer_token_file", folder),
        insecure=f.read("insecure", Reader.boolean, default=False),
    )
    _check_exclusive(f, "bearer_token_file", "username")
    for key, needed in (
        ("username", "password_file"),
        ("password_file", "username"),
        ("cert_file", "key_file"),
        ("key_file", "cert_file"),
    ):
        if key in f and needed not in f:
            f.problem(key, "key/missing", f"`{key}` needs `{needed}`", fix=f"add `{needed}:`")
    key = "bearer_token_file" if "bearer_token_file" in f else "password_file"
    if key in f and not settings.insecure and any(_in_the_clear(url) for url in urls):
        f.problem(
            key,
            "config/plaintext-credentials",
            f"`{key}` would be sent to another machine over plain HTTP",
            fix="use `https://`, or say `insecure: true`",
        )
    return settings


def _check_exclusive(fields: Fields, one: str, other: str) -> None:
    if one in fields and other in fields:
        fields.problem(
            other,
            "config/exclusive-keys",
            f"`{one}` and `{other}` exclude each other",
            fix="remove one of them",
        )


def _url(reader: Reader) -> str:
    """An address that is safe to show: an HTTP URL without credentials."""
    url = reader.string()
    parts = _split(url)
    if parts is not None and "@" in parts.netloc:
        # The message must not repeat the URL: the part before `@` may hold a password.
        reader.problem(
            "config/secret-in-url",
            "the address of a receiver must not carry credentials",
            fix="use `bearer_token_file:`, `username:` with `password_file:`, or `url_file:`",
        )
        return ""
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        reader.problem(
            "config/url",
            "this is not the address of an HTTP receiver",
            fix="write it as `https://host:port/path`",
        )
        return ""
    return url


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return None
    return parts


def _in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True
