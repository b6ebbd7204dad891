"""Reading the config file: every problem at once, with its position.

A secret is never written in the file: it is named by a file that holds it. `${credentials:NAME}`
in a path is systemd's `$CREDENTIALS_DIRECTORY/NAME`.
"""

import stat
from importlib import resources
from pathlib import Path

from rollbackd.documents.catalogue import LINTS
from rollbackd.documents.diagnostics import Diagnostic, DocumentError, Position, Severity, errors_in
from rollbackd.documents.reader import Document, Reader
from rollbackd.documents.yaml import compose
from rollbackd.settings.consistency import check_consistency
from rollbackd.settings.detectors import DetectorSettings
from rollbackd.settings.formats import FormatSettings
from rollbackd.settings.mappings import check_mappings
from rollbackd.settings.notifications import NotificationSettings
from rollbackd.settings.pins import PinSettings
from rollbackd.settings.receivers import read_notifications
from rollbackd.settings.reconciliation import ReconciliationSettings
from rollbackd.settings.scalars import file_of, optional_file, path_of, positive_duration
from rollbackd.settings.scoring import ScoringSettings
from rollbackd.settings.structs import read_struct
from rollbackd.settings.values import (
    TOPIC_FORMATS,
    Backend,
    ClientCertificateSettings,
    ClockSettings,
    EngineSettings,
    HttpSettings,
    KafkaSettings,
    KafkaTopic,
    LintSettings,
    Permission,
    RedisSettings,
    ScopeLabels,
    Settings,
    TlsSettings,
    TokenSettings,
)


def shipped_rules() -> Path:
    """The folder of the rule pack: inside the wheel, or the source tree's `rules/`."""
    packaged = Path(str(resources.files("rollbackd"))) / "_rules"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "rules"


def load_settings(path: Path) -> Settings:
    """Read and check a config file. Raises DocumentError with every problem and its position.

    Relative paths are relative to the config file's folder.
    """
    settings, diagnostics = survey_settings(path)
    if errors_in(diagnostics):
        raise DocumentError(diagnostics)
    return settings


def survey_settings(path: Path) -> tuple[Settings, list[Diagnostic]]:
    """What can be read of a config file, and all that is wrong with it.

    Raises DocumentError when it cannot be read at all, or is not YAML.
    """
    text = _read_config(path)
    document = Document(str(path), text)
    root = compose(text, file=str(path))
    settings = default_settings(path)
    keys: dict[str, Position] = {}
    if root is not None:
        reader = Reader(document, root)
        settings, keys = _settings(reader, path), reader.key_positions()
    check_consistency(document, settings, keys)
    check_mappings(document, settings, keys, shipped_rules() / "mappings")
    return settings, document.diagnostics


def default_settings(path: Path = Path()) -> Settings:
    """What an empty config file means: SQLite, loopback, the shipped rules."""
    rules = shipped_rules()
    return Settings(rules=[rules], decision_tree=rules / "decision-tree.yaml", path=path)


def _read_config(path: Path) -> str:
    where = Position(str(path), 1, 1)
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"cannot read the file: {error.strerror}"
        raise DocumentError([Diagnostic("file/read", Severity.ERROR, message, where)]) from None
    except UnicodeDecodeError as error:
        message = f"cannot read the file: byte {error.start} is not UTF-8"
        raise DocumentError([Diagnostic("file/read", Severity.ERROR, message, where)]) from None
    if mode & stat.S_IWOTH:
        raise DocumentError(
            [
                Diagnostic(
                    "config/world-writable",
                    Severity.ERROR,
                    "everybody can write this file",
                    where,
                    fix=f"chmod o-w {path}",
                )
            ]
        )
    return text


def _settings(reader: Reader, path: Path) -> Settings:
    folder = path.parent
    default = default_settings(path)
    f = reader.fields(
        (
            "state_dir", "pause_file", "http", "store", "controls", "redis", "kafka", "mappings",
            "rules",
            "decision_tree", "levers", "scope_labels", "engine", "lints", "clock", "notifications",
            "reconciliation",
            "pins", "detectors", "scoring", "formats", "log_level",
        )
    )  # fmt: skip
    store = f.read("store", _backend, Backend.SQLITE)
    return Settings(
        state_dir=f.read("state_dir", lambda r: path_of(r, folder), default.state_dir),
        pause_file=f.read("pause_file", lambda r: path_of(r, folder), None),
        http=f.read("http", lambda r: _http(r, folder), HttpSettings()),
        store=store,
        controls=f.read("controls", _backend, store),
        redis=f.read("redis", lambda r: _redis(r, folder), None),
        kafka=f.read("kafka", lambda r: _kafka(r, folder), None),
        mappings=f.read("mappings", lambda r: [path_of(i, folder) for i in r.items()], []),
        rules=f.read("rules", lambda r: [path_of(i, folder) for i in r.items()], default.rules),
        decision_tree=f.read("decision_tree", lambda r: path_of(r, folder), default.decision_tree),
        levers=f.read("levers", lambda r: path_of(r, folder), None),
        scope_labels=f.read("scope_labels", _scope_labels, ScopeLabels()),
        engine=f.read("engine", _engine, EngineSettings()),
        lints=f.read("lints", _lints, LintSettings()),
        clock=f.read("clock", _clock, ClockSettings()),
        notifications=f.read(
            "notifications", lambda r: read_notifications(r, folder), NotificationSettings()
        ),
        pins=f.read("pins", lambda r: read_struct(r, PinSettings, folder), None) or PinSettings(),
        detectors=f.read("detectors", lambda r: read_struct(r, DetectorSettings, folder), None)
        or DetectorSettings(),
        scoring=f.read("scoring", lambda r: read_struct(r, ScoringSettings, folder), None),
        formats=f.read("formats", lambda r: read_struct(r, FormatSettings, folder), None)
        or FormatSettings(),
        reconciliation=f.read(
            "reconciliation",
            lambda r: read_struct(r, ReconciliationSettings, folder) or default.reconciliation,
            default.reconciliation,
        ),
        log_level=f.read(
            "log_level", lambda r: r.choice(("debug", "info", "warning", "error"), "info"), "info"
        ),
        path=path,
    )


def _backend(reader: Reader) -> Backend:
    return Backend(reader.choice([b.value for b in Backend], Backend.SQLITE))


def _http(reader: Reader, folder: Path) -> HttpSettings:
    f = reader.fields(
        (
            "host", "port", "allow_unauthenticated", "max_body_bytes", "tls", "tokens",
            "client_certificates",
        )
    )  # fmt: skip
    return HttpSettings(
        host=f.read("host", lambda r: r.string("127.0.0.1"), "127.0.0.1"),
        port=f.read("port", lambda r: r.integer(9797, minimum=0, maximum=65_535), 9797),
        allow_unauthenticated=f.read("allow_unauthenticated", Reader.boolean, default=False),
        max_body_bytes=f.read(
            "max_body_bytes", lambda r: r.integer(16 << 20, minimum=1024), 16 << 20
        ),
        tls=f.read("tls", lambda r: _tls(r, folder), None),
        tokens=f.read("tokens", lambda r: [_token(i, folder) for i in r.items()], []),
        client_certificates=f.read(
            "client_certificates", lambda r: [_client_certificate(i) for i in r.items()], []
        ),
    )


def _tls(reader: Reader, folder: Path) -> TlsSettings:
    f = reader.fields(
        ("cert_file", "key_file", "client_ca_file"), required=("cert_file", "key_file")
    )
    return TlsSettings(
        cert_file=f.read("cert_file", lambda r: file_of(r, folder), Path()),
        key_file=f.read("key_file", lambda r: file_of(r, folder), Path()),
        client_ca_file=optional_file(f, "client_ca_file", folder),
    )


def _token(reader: Reader, folder: Path) -> TokenSettings:
    keys = ("name", "file", "permissions")
    f = reader.fields(keys, required=keys)
    return TokenSettings(
        name=f.read("name", Reader.string, ""),
        file=f.read("file", lambda r: file_of(r, folder), Path()),
        permissions=f.read("permissions", _permissions, frozenset()),
    )


def _client_certificate(reader: Reader) -> ClientCertificateSettings:
    keys = ("name", "san", "permissions")
    f = reader.fields(keys, required=keys)
    return ClientCertificateSettings(
        name=f.read("name", Reader.string, ""),
        san=f.read("san", Reader.string, ""),
        permissions=f.read("permissions", _permissions, frozenset()),
    )


def _permissions(reader: Reader) -> frozenset[Permission]:
    allowed = [p.value for p in Permission]
    words = [item.choice(allowed) for item in reader.items()]
    return frozenset(Permission(w) for w in words if w)


def _redis(reader: Reader, folder: Path) -> RedisSettings:
    f = reader.fields(
        (
            "url", "username", "password_file", "ca_file", "cert_file", "key_file",
            "wait_replicas",
        ),
        required=("url",),
    )  # fmt: skip
    url = f.get("url")
    if url is not None and any(mark in url.text_of_scalar() for mark in ("@", "password=")):
        # The message must not repeat the URL: the part before `@` may hold a password.
        reader.document.report(
            url.position,
            "config/secret-in-url",
            "`redis.url` must not carry credentials",
            fix="use `username:` and `password_file:`",
        )
    return RedisSettings(
        url=f.read("url", Reader.string, ""),
        username=f.read("username", Reader.string, None),
        password_file=optional_file(f, "password_file", folder),
        ca_file=optional_file(f, "ca_file", folder),
        cert_file=optional_file(f, "cert_file", folder),
        key_file=optional_file(f, "key_file", folder),
        wait_replicas=f.read("wait_replicas", lambda r: r.integer(0, minimum=0), 0),
    )


def _kafka(reader: Reader, folder: Path) -> KafkaSettings:
    f = reader.fields(
        (
            "bootstrap_servers", "topics", "group_id", "client_id", "dead_letter_topic",
            "offset_reset", "security_protocol", "sasl_mechanism", "username", "password_file",
            "ca_file", "cert_file", "key_file", "insecure", "session_timeout", "stall",
        ),
        required=("bootstrap_servers", "topics"),
    )  # fmt: skip
    protocols = ("PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT")
    mechanisms = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    settings = KafkaSettings(
        bootstrap_servers=f.read("bootstrap_servers", Reader.string_list, []),
        topics=f.read("topics", lambda r: [_topic(i) for i in r.items()], []),
        group_id=f.read("group_id", Reader.string, "rollbackd"),
        client_id=f.read("client_id", Reader.string, "rollbackd"),
        dead_letter_topic=f.read("dead_letter_topic", Reader.string, ""),
        offset_reset=f.read(
            "offset_reset", lambda r: r.choice(("earliest", "latest"), "earliest"), "earliest"
        ),
        security_protocol=f.read(
            "security_protocol", lambda r: r.choice(protocols, "PLAINTEXT"), "PLAINTEXT"
        ),
        sasl_mechanism=f.read(
            "sasl_mechanism", lambda r: r.choice(mechanisms, "SCRAM-SHA-512"), "SCRAM-SHA-512"
        ),
        username=f.read("username", Reader.string, None),
        password_file=optional_file(f, "password_file", folder),
        ca_file=optional_file(f, "ca_file", folder),
        cert_file=optional_file(f, "cert_file", folder),
        key_file=optional_file(f, "key_file", folder),
        insecure=f.read("insecure", Reader.boolean, default=False),
        session_timeout_ms=f.read("session_timeout", positive_duration, 30_000),
        stall_ms=f.read("stall", positive_duration, 30_000),
    )
    if settings.security_protocol == "SASL_PLAINTEXT" and not settings.insecure:
        f.problem(
            "security_protocol",
            "config/kafka-plaintext",
            "`SASL_PLAINTEXT` sends the password in the clear",
            fix="use `SASL_SSL`, or say `insecure: true`",
        )
    if settings.security_protocol.startswith("SASL") and not settings.password_file:
        reader.problem("key/missing", "`password_file` is missing for SASL")
    return settings


def _topic(reader: Reader) -> KafkaTopic:
    f = reader.fields(("name", "format", "mapping"), required=("name",))
    if "mapping" in f and "format" in f:
        f.problem("mapping", "config/exclusive-keys", "`mapping` and `format` exclude each other")
    return KafkaTopic(
        name=f.read("name", Reader.string, ""),
        format=f.read("format", lambda r: r.choice(TOPIC_FORMATS, "auto"), "auto"),
        mapping=f.read("mapping", Reader.string, ""),
    )


def _scope_labels(reader: Reader) -> ScopeLabels:
    f = reader.fields(("service", "region"))
    return ScopeLabels(
        service=f.read("service", Reader.string, "service"),
        region=f.read("region", Reader.string, "region"),
    )


def _engine(reader: Reader) -> EngineSettings:
    f = reader.fields(
        ("coalesce", "lateness", "max_series", "default_interval", "for_grace", "outage_tolerance")
    )
    return EngineSettings(
        coalesce_ms=f.read("coalesce", positive_duration, 100),
        lateness_ms=f.read("lateness", Reader.duration_ms, 60_000),
        max_series=f.read("max_series", lambda r: r.integer(200_000, minimum=1), 200_000),
        default_interval_ms=f.read("default_interval", positive_duration, 15_000),
        for_grace_ms=f.read("for_grace", Reader.duration_ms, 1_000),
        outage_tolerance_ms=f.read("outage_tolerance", Reader.duration_ms, 3_600_000),
    )


def _lints(reader: Reader) -> LintSettings:
    f = reader.fields(("least_intervals", "disable"))
    known = sorted(LINTS)
    return LintSettings(
        least_intervals=f.read("least_intervals", lambda r: r.integer(2, minimum=1), 2),
        disable=f.read(
            "disable",
            lambda r: frozenset(i.choice(known) for i in r.items()),
            LintSettings().disable,
        ),
    )


def _clock(reader: Reader) -> ClockSettings:
    f = reader.fields(("speed", "start_ms"))
    return ClockSettings(
        speed=f.read("speed", Reader.number, 1.0),
        start_ms=f.read("start_ms", lambda r: r.integer(0, minimum=0), None),
    )
