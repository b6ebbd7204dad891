"""The config file -> one frozen Settings. The only reader of the environment and of secrets."""

from rollbackd.settings.formats import FormatSettings
from rollbackd.settings.notifications import (
    AlertmanagerSettings,
    CloudEventsSettings,
    ContentMode,
    NotificationSettings,
    Occasion,
    ReceiverSettings,
    WebhookSettings,
)
from rollbackd.settings.pins import (
    AutoPinSettings,
    PinSettings,
    RatioSettings,
    WindowedSettings,
)
from rollbackd.settings.reading import (
    CONFIG_KEYS,
    default_settings,
    load_settings,
    shipped_rules,
    survey_settings,
)
from rollbackd.settings.secrets import Secret, read_secret, read_tokens
from rollbackd.settings.values import (
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

__all__ = [
    "CONFIG_KEYS",
    "AlertmanagerSettings",
    "AutoPinSettings",
    "Backend",
    "ClientCertificateSettings",
    "ClockSettings",
    "CloudEventsSettings",
    "ContentMode",
    "EngineSettings",
    "FormatSettings",
    "HttpSettings",
    "KafkaSettings",
    "KafkaTopic",
    "LintSettings",
    "NotificationSettings",
    "Occasion",
    "Permission",
    "PinSettings",
    "RatioSettings",
    "ReceiverSettings",
    "RedisSettings",
    "ScopeLabels",
    "Secret",
    "Settings",
    "TlsSettings",
    "TokenSettings",
    "WebhookSettings",
    "WindowedSettings",
    "default_settings",
    "load_settings",
    "read_secret",
    "read_tokens",
    "shipped_rules",
    "survey_settings",
]
