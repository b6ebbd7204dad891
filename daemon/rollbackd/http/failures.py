"""One place where what went wrong becomes an answer, and where every request is counted."""

import logging
import math
import secrets
import traceback
from functools import cache
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Counter

from rollbackd.documents.diagnostics import Diagnostic, DocumentError
from rollbackd.errors import TemporaryError
from rollbackd.http.answers import answer
from rollbackd.http.refusals import Refusal
from rollbackd.model.events import Rejected
from rollbackd.ports import ScopeBusyError, StaleIncidentError
from rollbackd.telemetry import Telemetry

_log = logging.getLogger(__name__)

_REQUEST_ID: Final = web.RequestKey("request_id", str)


def request_id(request: web.Request) -> str:
    """What the log and the `X-Request-Id` header call this request."""
    return str(request.get(_REQUEST_ID, ""))


def route_of(request: web.Request) -> str:
    """The route's pattern, which is bounded as a path is not."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


def failure_middleware(telemetry: Telemetry) -> Middleware:
    """The outermost middleware: nothing that a handler raises gets past it."""

    @cache
    def counter(route: str, status: int) -> Counter:
        return telemetry.http_requests.labels(route, str(status))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[_REQUEST_ID] = secrets.token_hex(8)
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001  # it is mapped, or logged as a defect
            response = _known(error) or _defect(request, error)
        if response.status == 503:
            response.headers.setdefault("Retry-After", "1")
        counter(route_of(request), response.status).inc()
        return response

    return middleware


async def finish_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: headers that every answer carries."""
    headers = response.headers
    headers["Server"] = "rollbackd"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cache-Control"] = "no-store"
    if name := request_id(request):
        headers["X-Request-Id"] = name


def _known(error: Exception) -> web.Response | None:
    match error:
        case Refusal():
            fix = {"fix": error.fix} if error.fix else {}
            return _answer(error.status, str(error), headers=error.headers, **fix)
        case web.HTTPException():
            return _from_aiohttp(error)
        case Rejected():
            return _answer(400, str(error), position=error.position)
        case TemporaryError():
            wait = str(max(1, math.ceil(error.delay_ms / 1_000)))
            return _answer(503, str(error), headers={"Retry-After": wait})
        case TimeoutError():
            return _answer(503, "no answer in time; look whether it took effect")
        case ScopeBusyError():
            return _answer(409, str(error), incident_id=error.incident_id)
        case StaleIncidentError():
            return _answer(409, "somebody else was faster; look again")
        case DocumentError():
            diagnostics = [_diagnostic(d) for d in error.diagnostics]
            return _answer(400, str(error), diagnostics=diagnostics)
        case KeyError():
            return _answer(404, f"there is no `{error.args[0] if error.args else ''}`")
        case ValueError():
            return _answer(400, str(error))
    return None


def _answer(
    status: int, message: str, *, headers: dict[str, str] | None = None, **fields: Any
) -> web.Response:
    return answer({"error": message, **fields}, status=status, headers=headers)


def _from_aiohttp(error: web.HTTPException) -> web.Response:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return _answer(405, f"this path takes {allowed}", headers={"Allow": allowed})
    if isinstance(error, web.HTTPNotFound):
        return _answer(404, "there is no such path")
    return _answer(error.status, error.reason)


def _diagnostic(diagnostic: Diagnostic) -> dict[str, object]:
    return {
        "id": diagnostic.id,
        "severity": diagnostic.severity,
        "position": str(diagnostic.position),
        "message": diagnostic.message,
        "fix": diagnostic.fix,
    }


def _defect(request: web.Request, error: Exception) -> web.Response:
    # The error's own text is left out: it may quote what the caller sent.
    _log.error(
        "request failed",
        extra={
            "request_id": request_id(request),
            "route": route_of(request),
            "error": type(error).__qualname__,
            "stack": "".join(traceback.format_tb(error.__traceback__)),
        },
    )
    return _answer(
        500,
        "a defect in rollbackd; the log has it under this request id",
        request_id=request_id(request),
    )
