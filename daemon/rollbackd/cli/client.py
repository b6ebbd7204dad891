"""The daemon's HTTP API as the command line uses it."""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import aiohttp
import msgspec
import orjson

from rollbackd.cli.failures import FailureError
from rollbackd.settings import Secret, read_tokens

T = TypeVar("T")

_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_SHOWN: Final = 500
_REJECTIONS: Final = 3


class UnreachableError(FailureError):
    """Nobody answers at the URL."""


class RefusedError(FailureError):
    """The daemon answered, and the answer is no."""

    def __init__(self, message: str, *, status: int, fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where the daemon is and how to speak to it."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None


def call(connection: Connection, work: Callable[["Api"], Awaitable[T]]) -> T:
    """Run `work` with an open client, from a command."""

    async def connected() -> T:
        async with Api(connection) as api:
            return await work(api)

    return asyncio.run(connected())


class Api:
    """One session with the daemon. Raises UnreachableError and RefusedError, nothing else."""

    def __init__(self, connection: Connection) -> None:
        self._url = connection.url
        self._token = _read_token(connection.token_file)
        self._tls = _read_ca(connection.ca_file)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token.reveal()}"} if self._token else {}
        connector = aiohttp.TCPConnector(ssl=self._tls)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=_TIMEOUT,
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, path: str, **params: str) -> Any:
        """The JSON that a path answers with."""
        return await self._request("GET", path, params=params)

    async def post(self, path: str, body: object, *, key: str = "") -> Any:
        """Send JSON, get JSON; with a key, sending it again is the same request."""
        return await self._request("POST", path, data=orjson.dumps(body), key=key)

    async def put(self, path: str, body: object) -> Any:
        """Send JSON, get JSON."""
        return await self._request("PUT", path, data=orjson.dumps(body))

    async def send_lines(self, path: str, lines: bytes, **params: str) -> Any:
        """Send newline-delimited JSON."""
        return await self._request(
            "POST", path, params=params, data=lines, content_type="application/x-ndjson"
        )

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        data: bytes | None = None,
        content_type: str = "application/json",
        key: str = "",
    ) -> Any:
        assert self._session is not None
        headers = {"Content-Type": content_type} if data is not None else {}
        if key:
            headers["Idempotency-Key"] = key
        try:
            async with self._session.request(
                method,
                self._url + path,
                params=params,
                data=data,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                body = await answer.read()
        except TimeoutError:
            raise UnreachableError(
                f"the daemon at {self._url} did not answer within 5 s",
                fix="see its log; `rollbackd status` asks for the least",
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(
                f"cannot reach the daemon at {self._url}: {_cause(error)}",
                fix="start it with `rollbackd run`, or say where it is with --url",
            ) from None
        if answer.status >= 300:
            raise _refusal(answer, body)
        return _decoded(body)


def convert(data: object, kind: type[T]) -> T:
    """An answer as a value of the model. Raises FailureError when the daemon speaks otherwise."""
    try:
        return msgspec.convert(data, kind, strict=False)
    except msgspec.ValidationError as error:
        raise FailureError(
            f"the daemon's answer is not understood: {error}",
            fix="compare `rollbackd version` with the version in `rollbackd status`",
        ) from None


def _decoded(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise FailureError(
            "the answer is not JSON; is it rollbackd that listens there?", fix="check --url"
        ) from None


def _refusal(answer: aiohttp.ClientResponse, body: bytes) -> RefusedError:
    status = answer.status
    if status < 400:
        return RefusedError(
            f"the daemon answered with a redirect ({status}), which is not followed",
            status=status,
            fix="check --url",
        )
    fixes = {
        401: "say who you are with --token-file",
        403: "use a token with the permission that this needs",
        404: "check the id, and that --url is a rollbackd of this version",
    }
    told, fix = _told(body)
    return RefusedError(
        f"the daemon refused ({status}): {told or answer.reason or 'no reason given'}",
        status=status,
        fix=fix or fixes.get(status, ""),
    )


def _told(body: bytes) -> tuple[str, str]:
    """What an answer says is wrong, and what it says to do, where it does."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:_SHOWN].decode(errors="replace").strip(), ""
    if not isinstance(data, dict):
        return str(data)[:_SHOWN], ""
    parts = [str(data.get("error", data)), *_rejections(data.get("rejected"))]
    return "; ".join(parts)[:_SHOWN], str(data.get("fix", ""))[:_SHOWN]


def _rejections(items: object) -> list[str]:
    """The first of the events that were refused, when the daemon names them."""
    named = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return [str(item.get("error")) for item in named[:_REJECTIONS]]


def _cause(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error})"
    if isinstance(error, aiohttp.ClientConnectorError):
        known = isinstance(error, aiohttp.ClientConnectorDNSError) or not error.os_error.errno
        return "no such host" if known else os.strerror(error.os_error.errno or 0).lower()
    return str(error) or type(error).__name__


def _read_token(path: Path | None) -> Secret | None:
    if path is None:
        return None
    try:
        tokens = read_tokens(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise FailureError(f"cannot read the token file `{path}`: {reason}") from None
    if not tokens:
        raise FailureError(f"the token file `{path}` is empty")
    return tokens[0]


def _read_ca(path: Path | None) -> ssl.SSLContext | bool:
    if path is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "it is not a certificate"
        raise FailureError(f"cannot use the CA file `{path}`: {reason}") from None
