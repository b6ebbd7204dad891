"""The config file -> one frozen Settings. The only reader of the environment and of secrets."""

from rollbackd.settings.reading import (
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
    "Backend",
    "ClientCertificateSettings",
    "ClockSettings",
    "EngineSettings",
    "HttpSettings",
    "KafkaSettings",
    "KafkaTopic",
    "LintSettings",
    "Permission",
    "RedisSettings",
    "ScopeLabels",
    "Secret",
    "Settings",
    "TlsSettings",
    "TokenSettings",
    "default_settings",
    "load_settings",
    "read_secret",
    "read_tokens",
    "shipped_rules",
    "survey_settings",
]
