"""Calls to Milvus over gRPC: one try each, under one deadline, that end when they are cancelled.

pymilvus is not used. Its clients try a call again and again on their own, also one that moves an
alias, and the blocking one goes on in its thread when who asked has given up: the alias could move
long after the incident was taken over. A call of grpc.aio ends with who made it.

A channel lives for one call: a lever calls rarely, and finds out at once that a server has moved.
"""

import asyncio
import base64
import importlib.util
import socket
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from rollbackd.connections.http import check_address, shown
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.secrets import Secret, read_secret

_SERVICE: Final = "/milvus.proto.milvus.MilvusService"
_DEFAULT_PORT: Final = MappingProxyType({"http": 19530, "https": 443})
_OPTIONS: Final = (
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 4 << 20),
)
#: Every other status may pass.
_FOR_GOOD: Final = frozenset({
    "ALREADY_EXISTS", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE",
    "PERMISSION_DENIED", "UNAUTHENTICATED", "UNIMPLEMENTED",
})  # fmt: skip
_EXTRA: Final = (
    "levers on Milvus need the Python packages grpcio and protobuf; install `rollbackd[milvus]`"
)


def missing_packages() -> str:
    """What to install before Milvus can be called, or nothing. Loads none of it."""
    try:
        found = [importlib.util.find_spec(name) for name in ("grpc", "google.protobuf")]
    except ModuleNotFoundError:  # of `google`, which others may bring or not
        found = [None]
    return "" if all(found) else _EXTRA


class MilvusError(PermanentError):
    """Milvus answered, and refused; `code` is that of its own table of errors.

    https://github.com/milvus-io/milvus/blob/master/pkg/util/merr/errors.go
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class MilvusApi:
    """One Milvus. Opens nothing until it is used, and keeps nothing open."""

    def __init__(self, endpoint: HttpEndpoint) -> None:
        self._endpoint = endpoint
        parts = urlsplit(endpoint.url)
        self._host = parts.hostname or ""
        self._port = parts.port or _DEFAULT_PORT[parts.scheme]
        self._secure = parts.scheme == "https"

    async def call(self, method: str, **fields: str) -> Any:
        """The response to `<method>Request` with these fields, e.g. `DescribeAlias`.

        Raises TemporaryError, PermanentError, and of these MilvusError when Milvus says no.
        """
        grpc, messages = await _libraries()
        answer = messages.get(f"{method}Response", messages["Status"])
        secret = self._secret()
        what = f"Milvus at {self._endpoint.url}, asked to {method}"
        try:
            async with (
                asyncio.timeout(self._endpoint.timeout / 1_000),
                await self._channel(grpc) as channel,
            ):
                response = await channel.unary_unary(
                    f"{_SERVICE}/{method}",
                    request_serializer=messages[f"{method}Request"].SerializeToString,
                    response_deserializer=answer.FromString,
                )(messages[f"{method}Request"](**fields), metadata=_metadata(secret))
        except TimeoutError:
            seconds = self._endpoint.timeout / 1_000
            raise TemporaryError(f"{what}: no answer within {seconds:g} s") from None
        except OSError as error:
            raise TemporaryError(f"{what}: {error.strerror or 'cannot connect'}") from None
        except grpc.RpcError as error:
            raise _translated(what, error, secret) from None
        _check(what, getattr(response, "status", response), secret)
        return response

    def _secret(self) -> Secret | None:
        try:
            return read_secret(self._endpoint.secret_file)
        except OSError as error:
            raise PermanentError(f"{error.filename}: {error.strerror}") from None

    async def _channel(self, grpc: Any) -> Any:
        """To the addresses that were checked, which nothing resolves a second time."""
        found = await asyncio.get_running_loop().getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM
        )
        family = found[0][0]
        addresses = [each[4][0] for each in found if each[0] == family]
        for address in addresses:
            check_address(str(address))
        if family == socket.AF_INET6:
            where = "ipv6:" + ",".join(f"[{each}]:{self._port}" for each in addresses)
        else:
            where = "ipv4:" + ",".join(f"{each}:{self._port}" for each in addresses)
        options = [*_OPTIONS, ("grpc.default_authority", f"{self._host}:{self._port}")]
        if not self._secure:
            return grpc.aio.insecure_channel(where, options=options)
        options.append(("grpc.ssl_target_name_override", self._host))
        return grpc.aio.secure_channel(where, self._credentials(grpc), options=options)

    def _credentials(self, grpc: Any) -> Any:
        files = (self._endpoint.ca_file, self._endpoint.key_file, self._endpoint.cert_file)
        try:
            trusted, key, chain = (file.read_bytes() if file else None for file in files)
        except OSError as error:
            raise PermanentError(f"{error.filename}: {error.strerror}") from None
        return grpc.ssl_channel_credentials(trusted, key, chain)


async def _libraries() -> tuple[Any, Any]:
    """Grpc with its asyncio side, and the messages; loaded in a thread, when they are needed."""
    try:
        grpc, module = await asyncio.to_thread(_imported)
    except ImportError:
        raise PermanentError(_EXTRA) from None
    return grpc, module.MESSAGES


def _imported() -> tuple[Any, Any]:
    importlib.import_module("grpc.aio")
    return (
        importlib.import_module("grpc"),
        importlib.import_module("rollbackd.levers.milvus_messages"),
    )


def _metadata(secret: Secret | None) -> list[tuple[str, str]]:
    """The token, or `user:password`, as Milvus wants it."""
    if secret is None:
        return []
    return [("authorization", base64.b64encode(secret.reveal().encode()).decode())]


def _translated(what: str, error: Any, secret: Secret | None) -> PermanentError | TemporaryError:
    status = error.code().name
    message = f"{what}: {status}: {shown((error.details() or '').encode(), secret)}"
    return PermanentError(message) if status in _FOR_GOOD else TemporaryError(message)


def _check(what: str, status: Any, secret: Secret | None) -> None:
    """Raise what a status says; `error_code` is what servers before 2.3 set."""
    code = int(status.code or status.error_code)
    if code == 0:
        return
    message = f"{what}: refused with {code}: {shown(status.reason.encode(), secret)}"
    if status.retriable:
        raise TemporaryError(message)
    raise MilvusError(message, code)
