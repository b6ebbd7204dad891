"""Calls to the HTTP APIs of other systems, under one policy for time, TLS, size and addresses.

What cannot be known to have failed for good is a TemporaryError: no connection, no answer in time,
408, 425, 429 and 5xx. Nothing of a request but its method, host and path reaches a message, and
what the other side said is shown short and without the token.

No redirect is followed, the environment's proxies are not used, and a name that resolves to where
metadata services live is refused (`settings.addresses`); an endpoint that says so by its address
cannot be configured.
"""

import asyncio
import socket
import ssl
from collections.abc import Collection, Mapping
from typing import Any, Final

import aiohttp
import msgspec
import orjson
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.settings.addresses import why_not_callable
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.secrets import Secret, read_secret

#: The most that is read of an answer.
MAX_ANSWER_BYTES: Final = 4 << 20
#: As much of an answer stands in a message.
_SHOWN: Final = 200
#: Statuses that say nothing of the next try.
MAY_PASS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_DELAY_MS: Final = 5_000
#: Of a call that may take long; who is not there shall be known soon.
_CONNECT_SECONDS: Final = 5.0
_NO_HEADER: Final = "a header, perhaps that of the token, has characters which none may have"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back: the status, the headers and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises PermanentError."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise PermanentError(f"the answer is not JSON: {shown(self.body)}") from None


class HttpApi:
    """One HTTP API; its connections are kept for the next call. Opens nothing until it is used."""

    def __init__(self, endpoint: HttpEndpoint, *, headers: Mapping[str, str] | None = None) -> None:
        self._endpoint = endpoint
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        allowed: Collection[int] = (),
    ) -> Answer:
        """Ask once. `path` is appended to the endpoint's URL and is quoted already.

        Answers 2xx and the statuses in `allowed`; raises TemporaryError for what may pass and
        PermanentError for every other status.
        """
        what = f"{method} {self._endpoint.url}{path}"
        sent = dict(headers or {})
        if json is not None:
            body = orjson.dumps(json)
            sent.setdefault("Content-Type", "application/json")
        secret = self._secret()
        sent.update(self.authorization(secret))
        try:
            answer = await self._ask(method, path, body, sent, params)
        except aiohttp.ConnectionTimeoutError:
            raise TemporaryError(f"{what}: no connection within {_CONNECT_SECONDS:g} s") from None
        except TimeoutError:
            seconds = self._endpoint.timeout / 1_000
            raise TemporaryError(f"{what}: no answer within {seconds:g} s") from None
        except aiohttp.InvalidURL:
            raise PermanentError(f"{what}: cannot be a URL") from None
        except aiohttp.ClientError as error:
            raise TemporaryError(f"{what}: {_why(error)}") from None
        except ValueError:
            # the error is not quoted: what it has may be the token
            raise PermanentError(f"{what}: {_NO_HEADER}") from None
        except OSError as error:
            raise TemporaryError(f"{what}: {error.strerror or 'cannot connect'}") from None
        if answer.status in allowed or 200 <= answer.status < 300:
            return answer
        said = shown(answer.body, secret)
        message = f"{what}: answered {answer.status}" + (f": {said}" if said else "")
        if answer.status in MAY_PASS:
            raise TemporaryError(message, delay_ms=asked_delay(answer.headers))
        raise PermanentError(message)

    def authorization(self, secret: Secret | None) -> dict[str, str]:
        """The headers that carry the token; an API that wants it elsewhere overrides this."""
        return {} if secret is None else {"Authorization": f"Bearer {secret.reveal()}"}

    async def close(self) -> None:
        """Close the connections; the next call would open new ones. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _secret(self) -> Secret | None:
        try:
            return read_secret(self._endpoint.secret_file)
        except OSError as error:
            raise PermanentError(f"{error.filename}: {error.strerror}") from None

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
    ) -> Answer:
        session = self._opened()
        async with session.request(
            method,
            f"{self._endpoint.url}{path}",
            data=body,
            headers={**self._headers, **headers},
            params=params,
            allow_redirects=False,
        ) as response:
            found = await response.content.read(MAX_ANSWER_BYTES + 1)
            while len(found) <= MAX_ANSWER_BYTES and not response.content.at_eof():
                found += await response.content.read(MAX_ANSWER_BYTES + 1 - len(found))
            if len(found) > MAX_ANSWER_BYTES:
                raise PermanentError(
                    f"{method} {self._endpoint.url}{path}: the answer is over {MAX_ANSWER_BYTES} "
                    "bytes"
                )
            return Answer(status=response.status, headers=dict(response.headers), body=found)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            seconds = self._endpoint.timeout / 1_000
            timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
            connector = aiohttp.TCPConnector(resolver=_PublicResolver(), ssl=self._tls(), limit=8)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, trust_env=False, raise_for_status=False
            )
        return self._session

    def _tls(self) -> ssl.SSLContext:
        endpoint = self._endpoint
        try:
            context = ssl.create_default_context(cafile=endpoint.ca_file)
            if endpoint.cert_file is not None:
                context.load_cert_chain(endpoint.cert_file, endpoint.key_file, _no_passphrase)
        except (OSError, ValueError) as error:
            files = (endpoint.ca_file, endpoint.cert_file, endpoint.key_file)
            names = ", ".join(f"`{file}`" for file in files if file is not None)
            reason = getattr(error, "strerror", "") or str(error)
            raise PermanentError(f"TLS files {names} cannot be used: {reason}") from None
        return context


class _PublicResolver(ThreadedResolver):
    """Refuses names that lead where no lever's target is; checked at connecting, not before."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        for each in found:
            check_address(each["host"])
        return found


def _no_passphrase() -> str:
    """Without it a key that is encrypted would be asked for on the terminal."""
    raise ValueError("the private key is encrypted")


def check_address(text: str) -> None:
    """Raise PermanentError for an address at which no lever's target lives."""
    if objection := why_not_callable(text):
        raise PermanentError(objection)


def shown(body: bytes, secret: Secret | None = None) -> str:
    """The beginning of an answer in one line, for a message; the secret never stands in it."""
    text = body.decode(errors="replace")
    if secret is not None:
        text = text.replace(secret.reveal(), "***")
    text = " ".join(text[: _SHOWN * 4].split())
    return "".join(c if c.isprintable() else "?" for c in text)[:_SHOWN]


def _why(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "the TLS handshake failed: the certificate is not one that is trusted here"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.strerror or "cannot connect"
    return f"the connection failed ({type(error).__name__})"


def asked_delay(headers: Mapping[str, str]) -> int:
    """`Retry-After` in milliseconds, as far as one waits at all."""
    text = {key.lower(): value for key, value in headers.items()}.get("retry-after", "")
    return min(int(text) * 1_000, _LONGEST_DELAY_MS) if text.isdecimal() else 1_000


async def close_all(apis: Collection[HttpApi]) -> None:
    """Close every one of them."""
    await asyncio.gather(*(api.close() for api in apis))
