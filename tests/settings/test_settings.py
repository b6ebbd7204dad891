"""The config file: frozen settings, or every problem with its place."""

import os
from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.settings import (
    Backend,
    KafkaTopic,
    Permission,
    Settings,
    default_settings,
    load_settings,
    shipped_rules,
)


def load(folder: Path, text: str) -> Settings:
    """The settings of a config file in a folder with a few files beside it."""
    for name in ("token", "cert.pem", "key.pem", "ca.pem", "password"):
        (folder / name).write_text("hunter2\n")
    path = folder / "rollbackd.yaml"
    path.write_text(text)
    return load_settings(path)


def refused(folder: Path, text: str) -> list[tuple[str, int, int]]:
    """Ids and places of what is wrong."""
    with pytest.raises(DocumentError) as caught:
        load(folder, text)
    return [(d.id, d.position.line, d.position.column) for d in caught.value.diagnostics]


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    """SQLite, loopback, the shipped rules."""
    for text in ("", "# nothing\n", "{}\n"):
        settings = load(tmp_path, text)
        assert settings == default_settings(tmp_path / "rollbackd.yaml")
    assert (settings.store, settings.controls) == (Backend.SQLITE, Backend.SQLITE)
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 9797)
    assert settings.decision_tree == shipped_rules() / "decision-tree.yaml"
    assert settings.decision_tree.is_file()


def test_everything_can_be_said(tmp_path: Path) -> None:
    """Relative paths are relative to the file."""
    settings = load(
        tmp_path,
        """
state_dir: state
pause_file: stop
http:
  host: 0.0.0.0
  port: 0
  max_body_bytes: 2048
  tls: {cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem}
  tokens:
    - {name: am, file: token, permissions: [ingest]}
  client_certificates:
    - {name: ops, san: ops.example, permissions: [read, operate]}
store: redis
redis: {url: redis://127.0.0.1:6379/1, username: eve, password_file: password, wait_replicas: 1}
kafka:
  bootstrap_servers: [a:9092, b:9092]
  topics: [{name: events, format: native}, {name: alerts}]
  security_protocol: SASL_SSL
  username: eve
  password_file: password
  session_timeout: 10s
  stall: 45s
rules: [.]
scope_labels: {service: job}
engine: {coalesce: 50ms, lateness: 0s, max_series: 10, default_interval: 5s, for_grace: 0s,
         outage_tolerance: 2h}
clock: {speed: 60, start_ms: 5}
log_level: debug
""",
    )
    assert settings.state_dir == tmp_path / "state"
    assert settings.pause_path == tmp_path / "stop"
    assert settings.http.authenticated
    assert settings.http.tls is not None
    assert settings.http.tls.client_ca_file == tmp_path / "ca.pem"
    assert settings.http.tokens[0].permissions == {Permission.INGEST}
    assert settings.controls is Backend.REDIS
    assert settings.redis is not None
    assert settings.redis.password_file == tmp_path / "password"
    assert settings.kafka is not None
    events, alerts = settings.kafka.topics
    assert events == KafkaTopic(name="events", format="native")
    assert alerts == KafkaTopic(name="alerts", format="auto")
    assert (settings.kafka.session_timeout_ms, settings.kafka.stall_ms) == (10_000, 45_000)
    assert settings.rules == [tmp_path]
    assert (settings.scope_labels.service, settings.scope_labels.region) == ("job", "region")
    assert (settings.engine.coalesce_ms, settings.engine.lateness_ms) == (50, 0)
    assert settings.engine.for_grace_ms == 0
    assert settings.engine.outage_tolerance_ms == 7_200_000
    assert (settings.clock.speed, settings.clock.start_ms) == (60.0, 5)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("htp: {}\n", [("key/unknown", 1, 1)]),
        ("- a\n", [("value/type", 1, 1)]),
        ("http: {port: nine}\n", [("value/type", 1, 14)]),
        ("http: {port: 65536}\n", [("value/range", 1, 14)]),
        ("http: {max_body_bytes: 5}\n", [("value/range", 1, 24)]),
        ("http: {allow_unauthenticated: yes}\n", [("value/type", 1, 31)]),
        ("store: mongo\n", [("value/choice", 1, 8)]),
        ("store: redis\n", [("config/no-redis", 1, 1)]),
        ("controls: redis\n", [("config/no-redis", 1, 1)]),
        ("redis: {}\n", [("key/missing", 1, 8)]),
        ("redis:\n  url: redis://:hunter2@db\n", [("config/secret-in-url", 2, 8)]),
        ("redis:\n  url: redis://db?password=hunter2\n", [("config/secret-in-url", 2, 8)]),
        ("redis: {url: redis://db, password_file: nope}\n", [("config/no-such-file", 1, 41)]),
        ("http: {tls: {cert_file: cert.pem}}\n", [("key/missing", 1, 13)]),
        (
            "http:\n  tokens: [{name: x, file: token, permissions: [all]}]\n",
            [("value/choice", 2, 49)],
        ),
        (
            "http:\n  client_certificates: [{name: x, san: y, permissions: [read]}]\n",
            [("config/mtls", 1, 1)],
        ),
        ("http: {host: 0.0.0.0}\n", [("config/open-listener", 1, 1)]),
        ("http: {host: '::'}\n", [("config/open-listener", 1, 1)]),
        ("http: {host: ''}\n", [("config/open-listener", 1, 1)]),
        ("http: {host: example.org}\n", [("config/open-listener", 1, 1)]),
        ("clock: {speed: 0}\n", [("config/clock", 1, 1)]),
        ("clock: {speed: .nan}\n", [("value/range", 1, 16), ("config/clock", 1, 1)]),
        ("clock: {speed: .inf}\n", [("value/range", 1, 16), ("config/clock", 1, 1)]),
        ("engine: {default_interval: 0s}\n", [("value/range", 1, 28)]),
        ("engine: {coalesce: 0s}\n", [("value/range", 1, 20)]),
        ("engine: {lateness: soon}\n", [("value/duration", 1, 20)]),
        ("engine: {max_series: 0}\n", [("value/range", 1, 22)]),
        ("rules: [nope]\n", [("config/no-such-file", 1, 1)]),
        ("decision_tree: nope\n", [("config/no-such-file", 1, 1)]),
        ("lints: {least_intervals: 0}\n", [("value/range", 1, 26)]),
        ("lints: {disable: [lint/nothing]}\n", [("value/choice", 1, 19)]),
        ("log_level: loud\n", [("value/choice", 1, 12)]),
        ("kafka: {}\n", [("key/missing", 1, 8), ("key/missing", 1, 8)]),
        (
            "kafka: {bootstrap_servers: [a], topics: [{name: t, format: xml}]}\n",
            [("value/choice", 1, 60)],
        ),
        (
            "kafka:\n  {bootstrap_servers: [a], topics: [], security_protocol: SASL_PLAINTEXT, password_file: password}\n",  # noqa: E501  # one line of YAML
            [("config/kafka-plaintext", 2, 40)],
        ),
        (
            "kafka: {bootstrap_servers: [a], topics: [], security_protocol: SASL_SSL}\n",
            [("key/missing", 1, 8)],
        ),
        ("kafka: {bootstrap_servers: [a], topics: [], stall: 0s}\n", [("value/range", 1, 52)]),
        ("a: 1\na: 2\n", [("yaml/duplicate-key", 2, 1)]),
    ],
)
def test_a_problem_is_shown_where_it_stands(
    tmp_path: Path, text: str, problems: list[tuple[str, int, int]]
) -> None:
    """Each id at its line and column."""
    assert refused(tmp_path, text) == problems


def test_all_problems_are_shown_at_once(tmp_path: Path) -> None:
    """Nobody fixes one to find the next."""
    text = "htp: {}\nstore: mongo\nhttp: {port: nine, host: 0.0.0.0}\nrules: [nope]\n"
    assert [id_ for id_, *_ in refused(tmp_path, text)] == [
        "key/unknown",
        "value/choice",
        "value/type",
        "config/open-listener",
        "config/no-such-file",
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_loopback_needs_no_authentication(tmp_path: Path, host: str) -> None:
    """Only who is on the machine can reach it."""
    assert load(tmp_path, f"http: {{host: '{host}'}}\n").http.host == host


@pytest.mark.parametrize(
    "how",
    [
        "allow_unauthenticated: true",
        "tokens: [{name: x, file: token, permissions: [read]}]",
        (
            "tls: {cert_file: cert.pem, key_file: key.pem, client_ca_file: ca.pem},"
            " client_certificates: [{name: x, san: y, permissions: [read]}]"
        ),
    ],
)
def test_an_open_listener_needs_authentication_or_a_word(tmp_path: Path, how: str) -> None:
    """Said explicitly, it is the operator's choice."""
    assert load(tmp_path, f"http: {{host: 0.0.0.0, {how}}}\n").http.host == "0.0.0.0"


def test_a_file_that_everybody_can_write_is_refused(tmp_path: Path) -> None:
    """Whoever can write it can pull levers."""
    path = tmp_path / "rollbackd.yaml"
    path.write_text("{}\n")
    path.chmod(0o666)
    with pytest.raises(DocumentError, match="chmod o-w") as caught:
        load_settings(path)
    assert [d.id for d in caught.value.diagnostics] == ["config/world-writable"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Absent, a folder, not UTF-8."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, message in (
        ("absent", "No such file"),
        ("", "Is a directory"),
        ("binary", "byte 0 is not UTF-8"),
    ):
        with pytest.raises(DocumentError, match=message) as caught:
            load_settings(tmp_path / name)
        assert [d.id for d in caught.value.diagnostics] == ["file/read"]


def test_a_credential_is_found_where_systemd_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`${credentials:NAME}` is a file in $CREDENTIALS_DIRECTORY."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "db").write_text("hunter2\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    settings = load(tmp_path, "redis: {url: redis://db, password_file: '${credentials:db}'}\n")
    assert settings.redis is not None
    assert settings.redis.password_file == credentials / "db"


def test_a_credential_without_systemd_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a word about what is missing."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    text = "redis: {url: redis://db, password_file: '${credentials:db}'}\n"
    assert ("config/credentials", 1, 41) in refused(tmp_path, text)


def test_a_secret_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, not when it is first needed."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    text = "redis: {url: redis://db, password_file: password}\n"
    assert refused(tmp_path, text) == [("config/unreadable", 1, 41)]


def test_lints_are_set_for_all_rules(tmp_path: Path) -> None:
    """How long windows have to be, and what nobody wants to hear."""
    lints = load(tmp_path, "lints: {least_intervals: 4, disable: [lint/no-scope]}\n").lints
    assert (lints.least_intervals, lints.disable) == (4, {"lint/no-scope"})
    assert load(tmp_path, "lints: {}\n").lints == Settings().lints


def test_the_pause_file_lies_in_the_state_folder(tmp_path: Path) -> None:
    """Unless the config says otherwise."""
    path = tmp_path / "rollbackd.yaml"
    path.write_text("state_dir: state\n")
    assert load_settings(path).pause_path == tmp_path / "state" / "PAUSED"
