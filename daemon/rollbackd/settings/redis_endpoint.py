"""How to reach a Redis that is not rollbackd's own."""

import ssl
from typing import Annotated

import msgspec
from msgspec import Meta

from rollbackd.settings.structs import File, SecretFile


class RedisEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One Redis. The URL carries no password."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^rediss?://[^@/]+(/[0-9]+)?$",
            examples=["redis://cache.example.internal:6379/0"],
            description="`redis://HOST[:PORT][/DB]`, or `rediss://` for TLS.",
        ),
    ]
    username: Annotated[str | None, Meta(description="The ACL user.")] = None
    password_file: Annotated[SecretFile | None, Meta(description="A file with its password.")] = (
        None
    )
    ca_file: Annotated[File | None, Meta(description="CA certificates to trust.")] = None

    def tls(self) -> ssl.SSLContext | None:
        """The TLS context, or None for a URL without TLS."""
        if not self.url.startswith("rediss://"):
            return None
        return ssl.create_default_context(cafile=self.ca_file)
