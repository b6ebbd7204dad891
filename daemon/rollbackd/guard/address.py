"""Where Redis is, and the one policy by which a guard talks to it.

redis-py repeats every command up to ten times by default, also one that had taken effect, and may
take a minute to give up. Here a command is sent once and answered within a second or not at all;
what may be repeated is repeated by the work itself.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import redis.exceptions
from redis.credentials import CredentialProvider
from redis.maint_notifications import MaintNotificationsConfig

SOCKET_SECONDS: Final = 1.0
POOL_SIZE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """How to reach Redis: `redis://host:port/db`, or `rediss://` for TLS; secrets from files."""

    url: str = "redis://127.0.0.1:6379/0"
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __str__(self) -> str:
        host, port, _, _ = self._parts()
        return f"{host}:{port}"

    def options(self, *, tls_connection: type[Any]) -> dict[str, Any]:
        """What a connection pool of redis-py takes. Raises ValueError for a URL of no use."""
        host, port, database, encrypted = self._parts()
        options: dict[str, Any] = {
            "host": host,
            "port": port,
            "db": database,
            "max_connections": POOL_SIZE,
            "timeout": SOCKET_SECONDS,
            "socket_timeout": SOCKET_SECONDS,
            "socket_connect_timeout": SOCKET_SECONDS,
            "protocol": 2,
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
            "client_name": "rollbackd-guard",
            "credential_provider": _Credentials(self.username, self.password_file),
        }
        if encrypted:
            files = {
                "ssl_ca_certs": self.ca_file,
                "ssl_certfile": self.cert_file,
                "ssl_keyfile": self.key_file,
            }
            options["connection_class"] = tls_connection
            options |= {name: str(path) for name, path in files.items() if path is not None}
        return options

    def _parts(self) -> tuple[str, int, int, bool]:
        try:
            parts = urlsplit(self.url)
            host, port, database = parts.hostname, parts.port or 6379, int(parts.path[1:] or 0)
        except ValueError:
            parts, host, port, database = urlsplit(""), None, 0, 0
        if parts.scheme not in {"redis", "rediss"} or not host:
            # not quoted: a password may stand in it
            raise ValueError("the Redis URL must read `redis://host:port/db` or `rediss://...`")
        if parts.username or parts.password:
            raise ValueError("the Redis URL must not carry credentials; name a `password_file`")
        return host, port, database, parts.scheme == "rediss"


class _Credentials(CredentialProvider):
    """A user name, and a password that is read anew for each connect."""

    def __init__(self, username: str | None, password_file: Path | None) -> None:
        self._username = username
        self._file = password_file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """What AUTH is sent; an empty tuple sends none."""
        if self._file is None:
            return ()  # type: ignore[return-value]  # redis-py sends AUTH only for a truthy tuple
        try:
            password = self._file.read_text(encoding="utf-8").strip()
        except OSError:
            raise redis.exceptions.AuthenticationError("no password file") from None
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The same."""
        return self.get_credentials()
