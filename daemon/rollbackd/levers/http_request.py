"""`http_request`: any HTTP API that can be read and written with JSON, by configuration."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from rollbackd.connections.http import Answer, HttpApi
from rollbackd.errors import PermanentError
from rollbackd.levers.configured_lever import (
    LONGEST_CALL_MS,
    ConfiguredLever,
    Kind,
    Wanted,
    check_wanted,
)
from rollbackd.levers.json_pointer import check_pointer, follow
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.placeholders import (
    OF_MOVE,
    OF_TARGET,
    OF_VALUE,
    Values,
    check_json,
    check_path,
    check_text,
    fill_json,
    fill_path,
    fill_text,
    values_of,
)
from rollbackd.model.levers import Change, Observation, Op, Target
from rollbackd.ports import TargetMovedError
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.secrets import Secret
from rollbackd.settings.structs import Duration

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")

_Path = Annotated[str, Meta(description="Appended to `url`.")]
_Query = Annotated[dict[str, str], Meta(description="The query, by parameter.")]
_Body = Annotated[object, Meta(description="The body as JSON; none where it is left out.")]


class HttpRead(msgspec.Struct, frozen=True, kw_only=True):
    """A request that changes nothing: `path`, `method`, `query`, `body`; `value` of its answer."""

    path: _Path
    value: Annotated[dict[str, str], Meta(description="A JSON pointer for each name.")]
    method: Literal["GET", "POST"] = "GET"
    query: _Query = {}
    body: _Body = None


class HttpWrite(msgspec.Struct, frozen=True, kw_only=True):
    """The one request that makes the change: `path`, `method`, `query`, `body`."""

    path: _Path
    method: Literal["PUT", "PATCH", "POST"] = "PUT"
    query: _Query = {}
    body: _Body = None


class HttpRequestSettings(HttpEndpoint, frozen=True, kw_only=True):
    """The API, what is asked of it, and what is wanted."""

    longest_timeout_ms: ClassVar[int] = LONGEST_CALL_MS

    timeout: Annotated[
        Duration, Meta(description="For one call, at most `10m`; 5 s of it to connect.")
    ] = 3_000
    observe: HttpRead
    move: HttpWrite
    revert: Annotated[
        HttpWrite | None, Meta(description="Left out, `move` with the value that stood before.")
    ] = None
    verify: Annotated[
        HttpRead | None,
        Meta(description="Where a reader tells what it sees, as `observe`; asked beside it."),
    ] = None
    facts: Annotated[
        HttpRead | None,
        Meta(description="What a value leads to, as `observe`; read with `{after...}`."),
    ] = None
    if_match: Annotated[
        bool, Meta(description="Send the `ETag` that was read as `If-Match` with each move.")
    ] = False
    conflict_statuses: Annotated[
        list[Annotated[int, Meta(ge=400, le=499)]],
        Meta(description="Answers which say that somebody else has moved the target."),
    ] = msgspec.field(default_factory=lambda: [409, 412])
    token_header: Annotated[
        str, Meta(description="The header of the token, where it is no bearer token.")
    ] = "Authorization"  # noqa: S105  # a header's name
    kind: Kind = "pointer"
    wanted: Wanted = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_wanted(self.kind, self.wanted)
        if not _TOKEN.match(self.token_header):
            raise ValueError(f"`token_header`: `{self.token_header[:80]}` is no header")
        _check_read(self.observe, OF_TARGET, "observe")
        for read, allowed, where in (
            (self.verify, OF_VALUE, "verify"),
            (self.facts, OF_VALUE, "facts"),
        ):
            if read is not None:
                _check_read(read, allowed, where)
        for write, where in ((self.move, "move"), (self.revert, "revert")):
            if write is not None:
                _check_request(write, OF_MOVE, where)
        _check_names(self)


class HttpRequest(ConfiguredLever):
    """Moves whatever an HTTP API lets be read and written with JSON."""

    Settings: ClassVar[type[msgspec.Struct] | None] = HttpRequestSettings

    def __init__(
        self, name: str, settings: HttpRequestSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(
            name,
            surroundings,
            kind=settings.kind,
            wanted=settings.wanted,
            observe=msgspec.to_builtins(settings.observe),
            timeout_ms=settings.timeout,
            has_facts=settings.facts is not None,
        )
        self._settings = settings
        self._api = _TokenApi(settings)

    async def read(self, target: Target) -> tuple[dict[str, object], dict[str, object]]:
        """The pointers of `observe`, and the entity tag where it is compared."""
        asked, values = self._settings.observe, values_of(target)
        answer = await self._ask(asked, values)
        found = _taken(asked, answer, values, target)
        return found, {"etag": _etag(answer, target)} if self._settings.if_match else {}

    async def facts_of(self, target: Target, value: dict[str, object]) -> dict[str, object] | None:
        """The pointers of `facts`; None where the API knows no such thing."""
        asked = self._settings.facts
        if asked is None:
            return {}
        values = values_of(target, after=value)
        answer = await self._ask(asked, values, allowed=(404, 410))
        return None if answer.status in {404, 410} else _taken(asked, answer, values, target)

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One request, under the entity tag that was read."""
        await self._write(self._settings.move, target, now, wanted, op)

    async def put_back(self, change: Change, now: Observation, op: Op) -> None:
        """By `revert`, or by `move` to what stood before."""
        how = self._settings.revert or self._settings.move
        await self._write(how, change.target, now, change.before.value, op)

    async def seen_by_readers(self, change: Change) -> bool:
        """Whether `verify` tells the same, for the names that it has."""
        asked = self._settings.verify
        if asked is None:
            return True
        values = values_of(change.target, after=change.after)
        seen = _taken(asked, await self._ask(asked, values), values, change.target)
        return all(change.after.get(name) == value for name, value in seen.items())

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _ask(
        self, asked: HttpRead, values: Values, *, allowed: tuple[int, ...] = ()
    ) -> Answer:
        return await self._api.call(**_request(asked, values), allowed=allowed)

    async def _write(
        self,
        how: HttpWrite,
        target: Target,
        now: Observation,
        wanted: Mapping[str, object],
        op: Op,
    ) -> None:
        values = values_of(target, before=now.value, after=wanted, op=op)
        headers = {"If-Match": str(now.undo["etag"])} if self._settings.if_match else {}
        conflicts = self._settings.conflict_statuses
        answer = await self._api.call(**_request(how, values), headers=headers, allowed=conflicts)
        if answer.status in conflicts:
            raise TargetMovedError(f"{target}: answered {answer.status}, somebody has moved it")


class _TokenApi(HttpApi):
    """Sends the token in the header that the settings name."""

    def __init__(self, settings: HttpRequestSettings) -> None:
        super().__init__(settings)
        self._header = settings.token_header

    def authorization(self, secret: Secret | None) -> dict[str, str]:
        """As a bearer token, or as it is."""
        if secret is None or self._header.lower() == "authorization":
            return super().authorization(secret)
        return {self._header: secret.reveal()}


def _request(asked: HttpRead | HttpWrite, values: Values) -> dict[str, Any]:
    return {
        "method": asked.method,
        "path": fill_path(asked.path, values),
        "params": {name: fill_text(text, values) for name, text in asked.query.items()},
        "json": fill_json(asked.body, values),
    }


def _taken(asked: HttpRead, answer: Answer, values: Values, target: Target) -> dict[str, object]:
    document = answer.json()
    try:
        return {name: follow(document, at, values) for name, at in asked.value.items()}
    except PermanentError as error:
        raise PermanentError(f"{target}: {error}") from None


def _etag(answer: Answer, target: Target) -> str:
    tag = {name.lower(): value for name, value in answer.headers.items()}.get("etag", "")
    if not tag or tag.startswith("W/"):  # RFC 9110, 13.1.1: If-Match compares strongly
        raise PermanentError(
            f"{target}: `if_match` needs a strong ETag, and the answer has "
            + (f"`{tag[:80]}`" if tag else "none")
        )
    return tag


def _check_request(asked: HttpRead | HttpWrite, allowed: tuple[str, ...], where: str) -> None:
    check_path(asked.path, allowed, f"{where}.path")
    for name, text in asked.query.items():
        check_text(text, allowed, f"{where}.query.{name}")
    check_json(asked.body, allowed, f"{where}.body")


def _check_read(asked: HttpRead, allowed: tuple[str, ...], where: str) -> None:
    _check_request(asked, allowed, where)
    if not asked.value:
        raise ValueError(f"`{where}.value` is empty: it names what to take out of the answer")
    for name, pointer in asked.value.items():
        check_pointer(pointer, allowed, f"{where}.value.{name}")


def _check_names(settings: HttpRequestSettings) -> None:
    """What is wanted and what a reader tells go by the names of `observe`."""
    names = settings.observe.value.keys()
    if settings.wanted is not None and settings.wanted.keys() != names:
        raise ValueError(f"`wanted` must have the names of `observe.value`: {_all(names)}")
    if settings.verify is not None and not settings.verify.value.keys() <= names:
        raise ValueError(f"`verify.value` may have the names of `observe.value`: {_all(names)}")


def _all(names: object) -> str:
    return ", ".join(f"`{name}`" for name in names)  # type: ignore[attr-defined]
