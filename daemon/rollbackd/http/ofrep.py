"""The controls as OpenFeature flags, over the OpenFeature Remote Evaluation Protocol 0.3.0.

Every answer to a caller who may read is 200, 304, 400 or 404, from memory: the official providers
turn anything else, and anything odd, into the default of the caller's code, and a 429 into a pause
of all evaluations. What is odd in a request is overlooked where it does not matter.
"""

import hashlib
from typing import Final

import msgspec
from aiohttp import web

from rollbackd.http.answers import answer, json_response
from rollbackd.http.bodies import Bodies
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import Endpoint
from rollbackd.http.flag_cache import FlagCache
from rollbackd.http.flags import ErrorCode, EvaluationFailure
from rollbackd.http.limits import Limits
from rollbackd.http.refusals import Refusal
from rollbackd.model.labels import Scope
from rollbackd.ports import LastKnown
from rollbackd.settings import Permission

#: A context is a few attributes.
MAX_BODY_BYTES: Final = 64 << 10


class _Context(msgspec.Struct, frozen=True):
    """Where and for whom flags are evaluated; `targeting_key` is None where nobody is named."""

    scope: Scope
    targeting_key: str | None = None


class _UnusableRequestError(Exception):
    def __init__(self, code: ErrorCode, details: str) -> None:
        super().__init__(details)
        self.code = code


class OfrepApi:
    """Evaluates one flag, or all flags of a scope."""

    def __init__(self, last_known: LastKnown, limits: Limits) -> None:
        self._last_known = last_known
        self._flags = FlagCache()
        # apart from the bodies of alerts and events, a flood of which must not reach a kill switch
        self._bodies = Bodies(max_body_bytes=MAX_BODY_BYTES, limits=limits)

    def endpoints(self) -> list[Endpoint]:
        """Both are reads, though they are POST."""
        return [
            Endpoint(
                methods=("POST",),
                path="/ofrep/v1/evaluate/flags/{key}",
                permission=Permission.READ,
                handler=self.one,
                waits=False,
            ),
            Endpoint(
                methods=("POST",),
                path="/ofrep/v1/evaluate/flags",
                permission=Permission.READ,
                handler=self.all,
                waits=False,
            ),
        ]

    async def one(self, request: web.Request, _caller: Caller) -> web.Response:
        """The flag of the key in the path."""
        key = request.match_info["key"]
        try:
            context = await self._context(request)
        except _UnusableRequestError as error:
            failure = EvaluationFailure(key=key, error_code=error.code, error_details=str(error))
            return answer(failure, status=400)
        controls = self._last_known.last_known(context.scope)
        flag = self._flags.one(controls, key, context.scope)
        found = flag.for_user(context.targeting_key)
        status = 200
        if isinstance(found.result, EvaluationFailure):
            status = 404 if found.is_missing else 400
        return json_response(found.body, status=status)

    async def all(self, request: web.Request, _caller: Caller) -> web.Response:
        """Every flag of the scope; 304 when the caller has this very answer."""
        try:
            context = await self._context(request)
        except _UnusableRequestError as error:
            return answer({"errorCode": error.code, "errorDetails": str(error)}, status=400)
        controls = self._last_known.last_known(context.scope)
        flags = self._flags.all(controls, context.scope)
        answers = b",".join(flag.for_user(context.targeting_key).body for flag in flags)
        body = b'{"flags":[%b]}' % answers
        tag = hashlib.sha256(body).hexdigest()[:32]
        known = any(each.value in {tag, "*"} for each in request.if_none_match or ())
        response = web.Response(status=304) if known else json_response(body)
        response.etag = tag
        return response

    async def _context(self, request: web.Request) -> _Context:
        try:
            async with self._bodies.hold(request) as body:
                return _context_of(body)
        except Refusal as refusal:
            raise _UnusableRequestError(ErrorCode.PARSE_ERROR, str(refusal)) from None


def _context_of(body: bytes) -> _Context:
    try:
        asked = msgspec.json.decode(body or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _UnusableRequestError(
            ErrorCode.PARSE_ERROR, f"the body is not JSON: {error}"
        ) from None
    if not isinstance(asked, dict):
        raise _UnusableRequestError(
            ErrorCode.PARSE_ERROR, 'the body is not an object such as `{"context": {...}}`'
        )
    context = asked.get("context")
    if context is None:
        context = {}
    if not isinstance(context, dict):
        raise _invalid("`context` is not an object")
    user = context.get("targetingKey")
    # a flag that is off is off for everybody, whatever a caller calls the user
    targeting_key = user if isinstance(user, str) else None
    return _Context(_scope_of(context), targeting_key)


def _scope_of(context: dict[str, object]) -> Scope:
    service, region = context.get("service"), context.get("region")
    if service is None:
        raise _invalid(
            "the context has no `service`; add `service`, and `region` unless it is `global`"
        )
    if not isinstance(service, str) or not isinstance(region, str | None):
        raise _invalid("`service` and `region` have to be text")
    try:
        return Scope.of(service, "global" if region is None else region)
    except ValueError as error:
        raise _invalid(str(error)) from None


def _invalid(details: str) -> _UnusableRequestError:
    return _UnusableRequestError(ErrorCode.INVALID_CONTEXT, details)
