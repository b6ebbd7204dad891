"""One HTTP receiver: a POST that says in house terms what became of it.

No redirect is followed and no proxy is taken from the environment, so that credentials and
incidents go to the host that the operator named and to no other. Errors never repeat the URL, whose
path may be a secret, nor what the receiver answered.
"""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Mapping
from typing import Final

import aiohttp

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.settings import ReceiverSettings, Secret, read_secret

#: Status codes besides 5xx after which another try makes sense.
_TRY_AGAIN: Final = frozenset({408, 425, 429})
_MAX_ANSWER_BYTES: Final = 64 << 10
_MAX_RETRY_AFTER_SECONDS: Final = 3_600


class Channel:
    """Posts to one receiver. Secrets and certificates are read anew after each failure."""

    def __init__(self, settings: ReceiverSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: Secret, body: bytes, headers: Mapping[str, str]) -> None:
        """Return when the receiver has answered with 2xx.

        Raises TemporaryError when another try makes sense, PermanentError when it does not. A
        receiver that was not reached may have taken the message all the same.
        """
        try:
            status, retry_after = await self._post(url, body, headers)
        except TimeoutError:
            await self.close()
            raise TemporaryError("no answer in time") from None
        except OSError as error:
            await self.close()
            raise TemporaryError(_described(error)) from None
        except (aiohttp.ClientError, ValueError) as error:
            await self.close()
            raise TemporaryError(type(error).__name__) from None
        if 200 <= status < 300:
            return
        if status >= 500 or status in _TRY_AGAIN:
            raise TemporaryError(f"answered {status}", delay_ms=retry_after * 1_000)
        raise PermanentError(f"answered {status}")

    async def close(self) -> None:
        """Close connections; the next post opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, url: Secret, body: bytes, headers: Mapping[str, str]) -> tuple[int, int]:
        if self._session is None:
            self._session = self._new_session()
        async with (
            asyncio.timeout(self._settings.timeout_ms / 1_000),
            self._session.post(
                url.reveal(),
                data=body,
                headers={**headers, **_authorization(self._settings)},
                allow_redirects=False,
            ) as response,
        ):
            # Read what is small, so that the connection can be used again.
            await response.content.read(_MAX_ANSWER_BYTES)
            return response.status, _retry_after(response.headers.get("Retry-After", ""))

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_ssl_context(self._settings), limit=2),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout_ms / 1_000),
            trust_env=False,
        )


def _authorization(settings: ReceiverSettings) -> dict[str, str]:
    """The header that says who we are. Raises OSError that names only the file."""
    if (token := read_secret(settings.bearer_token_file)) is not None:
        return {"Authorization": f"Bearer {token.reveal()}"}
    if (password := read_secret(settings.password_file)) is not None:
        pair = f"{settings.username}:{password.reveal()}".encode()
        return {"Authorization": f"Basic {b64encode(pair).decode()}"}
    return {}


def _ssl_context(settings: ReceiverSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.cert_file is not None:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context


def _described(error: OSError) -> str:
    """What the system says, without the address."""
    where = f" {error.filename}" if error.filename else ""
    return f"{type(error).__name__}{where}: {error.strerror or 'failed'}"


def _retry_after(value: str) -> int:
    """The seconds of a Retry-After (RFC 9110, 10.2.3); a date is not read."""
    return min(int(value), _MAX_RETRY_AFTER_SECONDS) if value.isascii() and value.isdigit() else 0
