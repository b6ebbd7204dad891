"""Who may call what: bearer tokens, client certificates, or loopback without either.

Only digests of the tokens are kept. Every configured token is compared, each in constant time, so
that an answer's timing tells nothing about which one was nearly right.
"""

import hashlib
import hmac
import logging
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from rollbackd.http.callers import (
    EVERYTHING,
    Caller,
    certificate_names,
    is_loopback,
    peer_address,
)
from rollbackd.http.refusals import Refusal
from rollbackd.settings import HttpSettings, Permission, TokenSettings, read_tokens

_log = logging.getLogger(__name__)

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="rollbackd"'}
_SHORT: Final = 16

#: SHA-256 of a token -> who holds it.
Digests = tuple[tuple[bytes, Caller], ...]


class Authenticator:
    """Finds the caller of a request, and says what they may do."""

    def __init__(self, settings: HttpSettings) -> None:
        """Raises ValueError for a listener that everybody could reach, or a bad token file."""
        if not (
            is_loopback(settings.host) or settings.authenticated or settings.allow_unauthenticated
        ):
            raise ValueError(
                f"`http.host: {settings.host}` is not loopback, and nobody has to authenticate; "
                "add `http.tokens` or `http.client_certificates`"
            )
        self._settings = settings
        self._digests: Digests = self.read_tokens()

    def read_tokens(self) -> Digests:
        """The token files as they are now. Raises ValueError that names the file, never a token."""
        digests: dict[bytes, Caller] = {}
        for token in self._settings.tokens:
            caller = Caller(token.name, token.permissions)
            for digest in _digests_of(token):
                if digests.setdefault(digest, caller) is not caller:
                    raise ValueError(
                        f"token file `{token.file}` holds a token of `{digests[digest].name}`; "
                        "every caller needs a token of its own"
                    )
        return tuple(digests.items())

    def take_tokens(self, digests: Digests) -> None:
        """Let these tokens in from now on, and no others."""
        self._digests = digests

    def reload(self) -> None:
        """Read the token files again; on an error the old tokens stay. Raises ValueError."""
        self.take_tokens(self.read_tokens())

    def identify(self, request: web.Request) -> Caller:
        """The caller of a request. Raises Refusal (401, or 403 for a rebound name)."""
        if not self._settings.authenticated:
            return self._unauthenticated(request)
        if "Authorization" in request.headers:
            # A wrong token is never forgiven because the certificate was right.
            return self._by_token(request.headers["Authorization"])
        if "X-API-Key" in request.headers:
            return self._by_key(request.headers["X-API-Key"])
        return self._by_certificate(certificate_names(request))

    def authorize(self, request: web.Request, permission: Permission) -> Caller:
        """The caller, if they hold the permission. Raises Refusal (401, 403)."""
        caller = self.identify(request)
        if permission not in caller.permissions:
            raise Refusal(403, f"`{caller.name}` lacks the permission `{permission}`")
        return caller

    def _unauthenticated(self, request: web.Request) -> Caller:
        if self._settings.allow_unauthenticated:
            return Caller("anonymous", EVERYTHING)
        if not is_loopback(peer_address(request)):
            raise Refusal(401, "say who you are", headers=_CHALLENGE)
        # A page in a browser on this machine reaches us under a name that it made to resolve to
        # 127.0.0.1; nobody else needs a name other than these.
        if not _names_loopback(request.host):
            raise Refusal(403, "call this listener by `localhost` or its loopback address")
        return Caller("local", EVERYTHING)

    def _by_token(self, header: str) -> Caller:
        scheme, _, token = header.partition(" ")
        return self._by_key(token if scheme.lower() == "bearer" else "")

    def _by_key(self, token: str) -> Caller:
        digest = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        found: Caller | None = None
        for known, caller in self._digests:
            if hmac.compare_digest(known, digest):
                found = caller
        if found is None:
            raise Refusal(401, "this token is not known", headers=_CHALLENGE)
        return found

    def _by_certificate(self, names: frozenset[str]) -> Caller:
        for entry in self._settings.client_certificates:
            if entry.san in names:
                return Caller(entry.name, entry.permissions)
        raise Refusal(401, "say who you are", headers=_CHALLENGE)


def refuse_cross_site(request: web.Request) -> None:
    """Refuse a call that a browser makes for another site's page. Raises Refusal."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise Refusal(403, "calls from pages of other sites are refused")


@lru_cache(maxsize=256)
def _names_loopback(host_header: str) -> bool:
    return is_loopback(urlsplit(f"//{host_header}").hostname or "")


def _digests_of(token: TokenSettings) -> list[bytes]:
    try:
        secrets = read_tokens(token.file)
    except OSError as error:
        raise ValueError(f"cannot read token file `{token.file}`: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"token file `{token.file}` is not UTF-8") from None
    if not secrets:
        raise ValueError(f"token file `{token.file}` holds no token; write one a line")
    if any(len(secret.reveal()) < _SHORT for secret in secrets):
        _log.warning("token is short", extra={"file": str(token.file), "want": _SHORT})
    return [hashlib.sha256(secret.reveal().encode()).digest() for secret in secrets]
