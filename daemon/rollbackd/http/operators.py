"""The operator's calls: pause, resume, unlatch, reload, status. What acts is in the log."""

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from aiohttp import web

from rollbackd.clock import Clock
from rollbackd.http.answers import answer, decode_command
from rollbackd.http.bodies import Bodies
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import READING, Endpoint
from rollbackd.http.failures import request_id
from rollbackd.http.refusals import Refusal
from rollbackd.model.labels import Scope
from rollbackd.ports import Operations, Pause
from rollbackd.settings import Permission

_log = logging.getLogger(__name__)

#: Why a person acts; every act by hand carries one.
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class PauseCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a pause."""

    reason: Reason


class ResumeCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a resume; the reason may be left out, because going on is the normal state."""

    reason: str = ""


class UnlatchCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of an unlatch."""

    scope: str
    reason: Reason


def audit(request: web.Request, caller: Caller, action: str, **fields: str) -> None:
    """Log an act by hand, after it took effect."""
    _log.info(
        "operator acted",
        extra={"action": action, "by": caller.name, "request_id": request_id(request), **fields},
    )


class OperatorApi:
    """What a person may do to the daemon as a whole."""

    def __init__(
        self,
        operations: Operations,
        clock: Clock,
        bodies: Bodies,
        reload: Callable[[], Awaitable[list[str]]],
    ) -> None:
        self._operations = operations
        self._clock = clock
        self._bodies = bodies
        self._reload = reload

    def endpoints(self) -> list[Endpoint]:
        """Reload takes no body, so that `curl -X POST` works as with Prometheus."""
        return [
            Endpoint(
                methods=READING,
                path="/api/v1/status",
                permission=Permission.READ,
                handler=self.status,
            ),
            Endpoint(
                methods=("POST",),
                path="/api/v1/pause",
                permission=Permission.OPERATE,
                handler=self.pause,
                json_only=True,
            ),
            Endpoint(
                methods=("POST",),
                path="/api/v1/resume",
                permission=Permission.OPERATE,
                handler=self.resume,
                json_only=True,
            ),
            Endpoint(
                methods=("POST",),
                path="/api/v1/unlatch",
                permission=Permission.OPERATE,
                handler=self.unlatch,
                json_only=True,
            ),
            Endpoint(
                methods=("POST", "PUT"),
                path="/-/reload",
                permission=Permission.OPERATE,
                handler=self.reload,
            ),
        ]

    async def status(self, _request: web.Request, _caller: Caller) -> web.Response:
        """What the daemon says about itself."""
        return answer(self._operations.status())

    async def pause(self, request: web.Request, caller: Caller) -> web.Response:
        """Stop acting; going on with what is open is up to the engine."""
        async with self._bodies.hold(request, command=True) as body:
            command = decode_command(body, PauseCommand)
        pause = Pause(reason=command.reason, by=caller.name, since_ms=self._clock.now())
        await self._operations.set_pause(pause)
        audit(request, caller, "pause", reason=command.reason)
        return answer({"paused": True, "pause": pause})

    async def resume(self, request: web.Request, caller: Caller) -> web.Response:
        """Act again. The body may be empty."""
        async with self._bodies.hold(request, command=True) as body:
            command = decode_command(body or b"{}", ResumeCommand)
        await self._operations.set_pause(None)
        audit(request, caller, "resume", reason=command.reason)
        return answer({"paused": False, "pause": None})

    async def unlatch(self, request: web.Request, caller: Caller) -> web.Response:
        """Reset the latches of a scope; 404 when none holds."""
        async with self._bodies.hold(request, command=True) as body:
            command = decode_command(body, UnlatchCommand)
        scope = Scope.parse(command.scope)
        try:
            released = await self._operations.unlatch(scope, by=caller.name)
        except KeyError:
            raise Refusal(
                404,
                f"nothing is latched on `{scope}`",
                fix="`rollbackd status` shows under `guardrails` what is latched",
            ) from None
        audit(request, caller, "unlatch", reason=command.reason, scope=str(scope))
        return answer({"scope": str(scope), "released": released})

    async def reload(self, request: web.Request, caller: Caller) -> web.Response:
        """Take the configuration anew, all or nothing; names the keys that wait for a restart."""
        waiting = await self._reload()
        audit(request, caller, "reload")
        return answer({"reloaded": True, "restart_needed": waiting})
