"""Who is to be told: frozen settings, or every problem with its place."""

from pathlib import Path

import pytest

from rollbackd.settings import (
    CloudEventsSettings,
    ContentMode,
    NotificationSettings,
    Occasion,
    default_settings,
)
from tests.settings.test_settings import load, refused

#: A password and a token for one receiver.
TWO_WAYS = """notifications:
  webhooks:
    - {name: x, url: 'https://a',
      username: e, password_file: token, bearer_token_file: token}
"""
KAFKA = "kafka: {bootstrap_servers: [a], topics: []}\n"


def test_by_default_nobody_is_told() -> None:
    assert default_settings().notifications == NotificationSettings()


def test_everything_can_be_said(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        KAFKA
        + """
notifications:
  public_url: https://rollbackd.example/
  runbook_url: https://wiki.example/rollbackd
  alertmanager:
    urls: [http://am-1:9093, https://am-2.example/prefix/]
    resend: 1m
    timeout: 5s
    ca_file: ca.pem
    cert_file: cert.pem
    key_file: key.pem
  webhooks:
    - name: chat
      url: https://chat.example/hook
      events: [page, decision]
      signing_key_file: password
      deadline: 10m
      queue: 5
      username: eve
      password_file: password
    - {name: pager, url_file: token, bearer_token_file: token}
  cloudevents: {topic: rollbackd.decisions, mode: structured}
""",
    ).notifications
    assert settings.public_url == "https://rollbackd.example"
    assert settings.runbook_url == "https://wiki.example/rollbackd"
    assert settings.alertmanager is not None
    assert settings.alertmanager.urls == ["http://am-1:9093", "https://am-2.example/prefix"]
    assert settings.alertmanager.resend_ms == 60_000
    assert settings.alertmanager.receiver.timeout_ms == 5_000
    assert settings.alertmanager.receiver.cert_file == tmp_path / "cert.pem"
    chat, pager = settings.webhooks
    assert chat.occasions == {Occasion.PAGE, Occasion.DECISION}
    assert (chat.deadline_ms, chat.queue) == (600_000, 5)
    assert (chat.receiver.username, chat.receiver.password_file) == ("eve", tmp_path / "password")
    assert pager.url_file == pager.receiver.bearer_token_file == tmp_path / "token"
    assert pager.occasions == {Occasion.PAGE}
    assert settings.cloudevents == CloudEventsSettings(
        topic="rollbackd.decisions", mode=ContentMode.STRUCTURED
    )
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("notifications: {mail: x}\n", [("key/unknown", 1, 17)]),
        ("notifications:\n  alertmanager: {}\n", [("key/missing", 2, 17)]),
        ("notifications:\n  alertmanager: {urls: [am:9093]}\n", [("config/url", 2, 25)]),
        ("notifications:\n  alertmanager: {urls: ['ftp://am']}\n", [("config/url", 2, 25)]),
        ("notifications:\n  alertmanager: {urls: ['http://am:x']}\n", [("config/url", 2, 25)]),
        ("notifications:\n  alertmanager: {urls: ['http:///x']}\n", [("config/url", 2, 25)]),
        ("notifications:\n  alertmanager: {urls: ['']}\n", [("config/url", 2, 25)]),
        (
            "notifications:\n  alertmanager: {urls: ['http://u:hunter2@am']}\n",
            [("config/secret-in-url", 2, 25)],
        ),
        (
            "notifications:\n  alertmanager: {urls: ['http://a', 'http://a/']}\n",
            [("config/notifier-repeated", 2, 18)],
        ),
        (
            "notifications:\n  alertmanager: {urls: ['http://a'], resend: 0s}\n",
            [("value/range", 2, 46)],
        ),
        (
            "notifications:\n  alertmanager: {urls: ['http://a'], bearer_token_file: token}\n",
            [("config/plaintext-credentials", 2, 38)],
        ),
        (
            "notifications: {alertmanager: {urls: [http://a], username: e, password_file: token}}",
            [("config/plaintext-credentials", 1, 63)],
        ),
        (
            "notifications:\n  alertmanager: {urls: ['https://a'], username: eve}\n",
            [("key/missing", 2, 39)],
        ),
        (
            "notifications:\n  alertmanager: {urls: ['https://a'], cert_file: cert.pem}\n",
            [("key/missing", 2, 39)],
        ),
        ("notifications:\n  webhooks: [{url: 'http://a'}]\n", [("key/missing", 2, 14)]),
        ("notifications:\n  webhooks: [{name: x}]\n", [("key/missing", 2, 14)]),
        (
            "notifications:\n  webhooks: [{name: x, url: 'http://a', url_file: token}]\n",
            [("config/exclusive-keys", 2, 41)],
        ),
        (
            TWO_WAYS,
            [("config/exclusive-keys", 4, 7)],
        ),
        (
            "notifications:\n  webhooks: [{name: x, url: 'http://a'}, {name: x, url: 'http://b'}]\n",
            [("config/notifier-repeated", 2, 42)],
        ),
        (
            "notifications:\n  webhooks: [{name: x, url: 'http://a', events: [mail]}]\n",
            [("value/choice", 2, 50)],
        ),
        (
            "notifications:\n  webhooks: [{name: x, url: 'http://a', signing_key_file: nope}]\n",
            [("config/no-such-file", 2, 59)],
        ),
        ("notifications:\n  cloudevents: {topic: t}\n", [("config/no-kafka", 1, 1)]),
        (
            KAFKA + "notifications:\n  cloudevents: {topic: 'a b'}\n",
            [("value/choice", 3, 24)],
        ),
        (
            KAFKA + "notifications:\n  cloudevents: {topic: t, mode: xml}\n",
            [("value/choice", 3, 33)],
        ),
    ],
    ids=lambda value: value[0][0] if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, text: str, problems: list[tuple[str, int, int]]
) -> None:
    assert refused(tmp_path, text) == problems


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9093", "http://[::1]:9093", "http://localhost:9093", "https://am"]
)
def test_credentials_may_stay_on_the_machine_or_go_over_tls(tmp_path: Path, url: str) -> None:
    text = f"notifications:\n  alertmanager: {{urls: ['{url}'], bearer_token_file: token}}\n"
    assert load(tmp_path, text).notifications.alertmanager is not None


def test_plain_http_with_credentials_has_to_be_asked_for(tmp_path: Path) -> None:
    text = (
        "notifications:\n"
        "  alertmanager: {urls: ['http://am'], bearer_token_file: token, insecure: true}\n"
    )
    assert load(tmp_path, text).notifications.alertmanager is not None
