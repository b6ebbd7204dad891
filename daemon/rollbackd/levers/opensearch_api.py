"""What the levers on OpenSearch and Elasticsearch share: how to log in, names, versions."""

import base64
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from rollbackd.connections.http import Answer, HttpApi
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.reading import decoded
from rollbackd.model.levers import Op
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.secrets import Secret
from rollbackd.settings.structs import SecretFile, Url

#: Neither a pattern, a list, a date expression, nor a word like `_all`.
#: https://docs.opensearch.org/latest/api-reference/index-apis/create-index/#index-naming-restrictions
_NAME: Final = re.compile(r"""(?!\.{1,2}\Z)(?![-_+])[^\s,*?"<>|\\/#:]{1,255}\Z""")
_VERSION: Final = re.compile(r"(\d+)\.(\d+)")


class OpenSearchEndpoint(HttpEndpoint, frozen=True, kw_only=True):
    """One cluster. Log in by user name and password, or by a token."""

    url: Annotated[
        Url, Meta(description="Where the REST API is, e.g. `https://search.example.internal:9200`.")
    ]
    token_file: Annotated[
        SecretFile | None,
        Meta(description="A file with an API key (encoded) or a JWT; read at each call."),
    ] = None
    username: Annotated[str | None, Meta(description="For basic authentication.")] = None
    password_file: Annotated[
        SecretFile | None, Meta(description="A file with the user's password; read at each call.")
    ] = None
    token_scheme: Annotated[
        Literal["ApiKey", "Bearer"],
        Meta(description="How the token is sent: `Authorization: ApiKey`, or `Bearer` for a JWT."),
    ] = "ApiKey"  # noqa: S105  # a scheme

    def __post_init__(self) -> None:
        HttpEndpoint.__post_init__(self)
        if (self.username is None) != (self.password_file is None):
            raise ValueError("`username` and `password_file` belong together")
        if self.username is not None and self.token_file is not None:
            raise ValueError("give `username` and `password_file`, or `token_file`, not both")

    @property
    def secret_file(self) -> Path | None:
        """The file of whichever is sent."""
        return self.password_file or self.token_file


class _Version(msgspec.Struct, frozen=True):
    number: str
    distribution: str = "elasticsearch"


class _Root(msgspec.Struct, frozen=True):
    version: _Version


class _Acknowledgement(msgspec.Struct, frozen=True):
    acknowledged: bool


class Product(msgspec.Struct, frozen=True):
    """Which of the two, and how old."""

    name: str
    version: tuple[int, int]

    @property
    def compares_removals(self) -> bool:
        """Whether `remove` takes `must_exist`.

        Since Elasticsearch 7.9 (elastic/elasticsearch#58100) and OpenSearch 2.12
        (opensearch-project/OpenSearch#2949); older ones refuse the word.
        """
        return self.version >= ((2, 12) if self.name == "opensearch" else (7, 9))

    @property
    def patience(self) -> str:
        """The parameter that says how long a change may wait for the elected node."""
        renamed = self.name == "opensearch" and self.version >= (2, 0)
        return "cluster_manager_timeout" if renamed else "master_timeout"


class OpenSearchApi(HttpApi):
    """The REST API, which is the same in both products as far as it is used here."""

    def __init__(self, endpoint: OpenSearchEndpoint) -> None:
        super().__init__(endpoint)
        self._settings = endpoint
        self._product: Product | None = None

    def authorization(self, secret: Secret | None) -> dict[str, str]:
        """Basic, or the token in its scheme."""
        if secret is None:
            return {}
        settings = self._settings
        if settings.username is None:
            return {"Authorization": f"{settings.token_scheme} {secret.reveal()}"}
        pair = f"{settings.username}:{secret.reveal()}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    async def product(self) -> Product:
        """What answers there, asked once."""
        if self._product is None:
            found = decoded(await self.call("GET", "/"), _Root, "`GET /`").version
            number = _VERSION.match(found.number)
            if number is None:
                raise PermanentError(f"`GET /` names no version: `{found.number[:40]}`")
            version = int(number[1]), int(number[2])
            self._product = Product(found.distribution, version)
        return self._product

    async def change(
        self, method: str, path: str, op: Op, *, json: Any = None, allowed: Collection[int] = ()
    ) -> Answer:
        """Change the cluster's state once; the cluster gives it up when our time is over.

        The op and the incident go along as `X-Opaque-Id`, which task lists and audit logs show.
        Raises TemporaryError when not every node has acknowledged it.
        """
        product = await self.product()
        patience = f"{self._settings.timeout}ms"
        answer = await self.call(
            method,
            path,
            json=json,
            headers={"X-Opaque-Id": f"rollbackd {op.op_id} {op.incident_id}"},
            params={"timeout": patience, product.patience: patience},
            allowed=allowed,
        )
        if answer.status not in allowed:
            what = f"{method} {path}"
            if not decoded(answer, _Acknowledgement, what).acknowledged:
                raise TemporaryError(f"{what}: not every node has acknowledged it in time")
        return answer


class _Reason(msgspec.Struct, frozen=True):
    type: str = ""


class _Failure(msgspec.Struct, frozen=True):
    error: _Reason | str = ""


def error_type(answer: Answer) -> str:
    """The type of the error in an answer, e.g. `index_not_found_exception`, or empty."""
    try:
        error = msgspec.json.decode(answer.body, type=_Failure).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return error.type if isinstance(error, _Reason) else ""


def checked_name(name: str, what: str) -> str:
    """The name of one index or alias. Raises PermanentError for patterns, lists and `_all`."""
    if not _NAME.match(name):
        raise PermanentError(f"{what}: `{name[:80]}` is not the name of one index or alias")
    return name


def indices_of(names: Iterable[str]) -> str:
    """Names in a path, as a list."""
    return ",".join(quote(name, safe="") for name in names)
