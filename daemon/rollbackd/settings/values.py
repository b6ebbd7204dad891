"""The settings as frozen values, with their defaults."""

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from rollbackd.settings.detectors import DetectorSettings
from rollbackd.settings.formats import FormatSettings
from rollbackd.settings.notifications import NotificationSettings
from rollbackd.settings.pins import PinSettings
from rollbackd.settings.reconciliation import ReconciliationSettings
from rollbackd.settings.scoring import ScoringSettings


class Permission(StrEnum):
    """What a caller of the HTTP API may do."""

    #: Send alerts and events.
    INGEST = "ingest"
    #: Read state, controls and incidents.
    READ = "read"
    #: Pause, resume, pull, decide, reload, write intents.
    OPERATE = "operate"


class TokenSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token: its name for the logs, its file and what it allows.

    The file is read again on each reload and may hold several tokens, one a line, for rotation.
    """

    name: str
    file: Path
    permissions: frozenset[Permission]


class ClientCertificateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Callers whose client certificate carries this subject alternative name."""

    name: str
    san: str
    permissions: frozenset[Permission]


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Server certificate, and the CA that client certificates must come from (mTLS)."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The listener."""

    host: str = "127.0.0.1"
    port: int = 9797
    allow_unauthenticated: bool = False
    max_body_bytes: int = 16 << 20
    tls: TlsSettings | None = None
    tokens: list[TokenSettings] = []
    client_certificates: list[ClientCertificateSettings] = []

    @property
    def authenticated(self) -> bool:
        """Whether callers have to say who they are."""
        return bool(self.tokens) or bool(self.client_certificates)


class Backend(StrEnum):
    """Where durable state lives."""

    #: One file; nothing else to install.
    SQLITE = "sqlite"
    #: A Redis 7 with `maxmemory-policy noeviction`.
    REDIS = "redis"


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Redis. The URL carries no password."""

    url: str = "redis://127.0.0.1:6379/0"
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    wait_replicas: int = 0


#: What a topic may hold; `auto` is native events and Alertmanager notifications, told by shape.
TOPIC_FORMATS: Final = (
    "auto", "native", "alertmanager", "cloudevents", "otlp_json", "otlp_protobuf",
    "prometheus_json", "remote_write", "remote_write_v2", "telegraf",
)  # fmt: skip


class KafkaTopic(msgspec.Struct, frozen=True, kw_only=True):
    """One topic; `format` is one of `TOPIC_FORMATS`."""

    name: str
    format: str = "auto"
    #: The mapping that its records are read by, instead of a format; empty for none.
    mapping: str = ""


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The consumer group and how to reach the brokers."""

    bootstrap_servers: list[str]
    topics: list[KafkaTopic]
    group_id: str = "rollbackd"
    client_id: str = "rollbackd"
    dead_letter_topic: str = ""
    #: Where a new group begins: `earliest` (events, alerts) or `latest` (high-rate metrics).
    offset_reset: str = "earliest"
    #: `PLAINTEXT`, `SSL`, `SASL_SSL`, or `SASL_PLAINTEXT` with `insecure: true`.
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    insecure: bool = False
    session_timeout_ms: int = 30_000
    #: No successful poll, or lag without progress, for this long: build a new consumer.
    stall_ms: int = 30_000


class ScopeLabels(msgspec.Struct, frozen=True, kw_only=True):
    """Which labels of a trigger name the scope; a missing region label means `global`."""

    service: str = "service"
    region: str = "region"


class ClockSettings(msgspec.Struct, frozen=True, kw_only=True):
    """For drills: run the daemon's time `speed` times as fast, from `start_ms` on."""

    speed: float = 1.0
    start_ms: int | None = None


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the trigger engine."""

    coalesce_ms: int = 100
    lateness_ms: int = 60_000
    max_series: int = 200_000
    default_interval_ms: int = 15_000
    #: After a restart an instance of a rule fires no sooner; rules with a shorter `for` start anew.
    for_grace_ms: int = 1_000
    #: After an outage that was longer, every `for` starts anew.
    outage_tolerance_ms: int = 3_600_000


class LintSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What warnings about rules go by."""

    #: A window has to span this many sample intervals.
    least_intervals: int = 2
    disable: frozenset[str] = frozenset()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the daemon is told."""

    state_dir: Path = Path("/var/lib/rollbackd")
    #: While this file is there, nothing is opened; see `pause_path`.
    pause_file: Path | None = None
    http: HttpSettings = HttpSettings()
    store: Backend = Backend.SQLITE
    controls: Backend = Backend.SQLITE
    redis: RedisSettings | None = None
    kafka: KafkaSettings | None = None
    #: Mapping files and folders of mapping files, beside the shipped ones.
    mappings: list[Path] = []
    #: Rule files and folders of rule files.
    rules: list[Path] = []
    decision_tree: Path = Path()
    #: The levers on other systems; None where there are none.
    levers: Path | None = None
    scope_labels: ScopeLabels = ScopeLabels()
    engine: EngineSettings = EngineSettings()
    lints: LintSettings = LintSettings()
    clock: ClockSettings = ClockSettings()
    notifications: NotificationSettings = NotificationSettings()
    reconciliation: ReconciliationSettings = ReconciliationSettings()
    pins: PinSettings = PinSettings()
    detectors: DetectorSettings = DetectorSettings()
    #: None: texts and vectors in events are left alone.
    scoring: ScoringSettings | None = None
    formats: FormatSettings = FormatSettings()
    log_level: str = "info"
    #: The file that this came from, for messages and for reload.
    path: Path = Path()

    @property
    def pause_path(self) -> Path:
        """The file that pauses the daemon: as configured, or `PAUSED` in the state folder."""
        return self.pause_file or self.state_dir / "PAUSED"
