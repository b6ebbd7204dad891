"""How to reach an HTTP API of another system: what all that is configured so has in common."""

from pathlib import Path
from typing import Annotated, ClassVar, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from rollbackd.documents.durations import format_duration
from rollbackd.settings.addresses import why_not_host
from rollbackd.settings.structs import Duration, File, SecretFile, Url

_THIS_HOST: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class HttpEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP API. The token is sent as `Authorization: Bearer`, unless the API has another way.

    Redirects are never followed. A token over plain HTTP to another host needs `insecure: true`.
    """

    longest_timeout_ms: ClassVar[int] = 5_000

    url: Annotated[Url, Meta(description="Where the API answers, e.g. `https://qdrant:6333`.")]
    token_file: Annotated[
        SecretFile | None, Meta(description="A file with the API token; read at each call.")
    ] = None
    ca_file: Annotated[
        File | None, Meta(description="CA certificates to trust in place of the system's.")
    ] = None
    cert_file: Annotated[File | None, Meta(description="Client certificate (mTLS).")] = None
    key_file: Annotated[File | None, Meta(description="Its private key.")] = None
    timeout: Annotated[
        Duration,
        Meta(description="For one call, connecting included; at most `5s`, as an act has."),
    ] = 3_000
    insecure: Annotated[
        bool, Meta(description="Send the token over plain HTTP to a host that is not this one.")
    ] = False

    def __post_init__(self) -> None:
        if self.timeout > self.longest_timeout_ms:
            longest = format_duration(self.longest_timeout_ms)
            raise ValueError(f"`timeout` is above `{longest}`, the longest that one call may take")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("`cert_file` and `key_file` belong together")
        where = urlsplit(self.url)
        if objection := why_not_host(where.hostname or ""):
            raise ValueError(f"`url`: {objection}")
        in_the_clear = where.scheme == "http" and where.hostname not in _THIS_HOST
        if self.sends_secret and in_the_clear and not self.insecure:
            raise ValueError(
                "the secret would be sent in the clear; use `https://`, or say `insecure: true` "
                "where the network is trusted"
            )

    @property
    def sends_secret(self) -> bool:
        """Whether a call carries a secret."""
        return self.secret_file is not None

    @property
    def secret_file(self) -> Path | None:
        """The file of the secret that a call carries."""
        return self.token_file
