"""The switches that applications read, and the rollout's intents."""

import msgspec
from aiohttp import web

from rollbackd.http.answers import answer, decode_command
from rollbackd.http.bodies import Bodies
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import READING, Endpoint
from rollbackd.http.operators import Reason, audit
from rollbackd.model.controls import Control, ControlValue
from rollbackd.model.labels import Scope
from rollbackd.ports import Operations
from rollbackd.settings import Permission


class SetIntent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of a PUT."""

    value: ControlValue


class Release(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Takes away the trip that a closed incident left on a control."""

    reason: Reason


class ControlsApi:
    """Reads what is in force in a scope, and writes what the rollout wants."""

    def __init__(self, operations: Operations, bodies: Bodies) -> None:
        self._operations = operations
        self._bodies = bodies

    def endpoints(self) -> list[Endpoint]:
        """A service without a region is the region `global`."""
        return [
            Endpoint(
                methods=READING,
                path="/api/v1/controls/{service}",
                permission=Permission.READ,
                handler=self.read,
            ),
            Endpoint(
                methods=READING,
                path="/api/v1/controls/{service}/{region}",
                permission=Permission.READ,
                handler=self.read,
            ),
            Endpoint(
                methods=("PUT",),
                path="/api/v1/controls/{service}/{region}/{name}",
                permission=Permission.OPERATE,
                handler=self.set_intent,
                json_only=True,
            ),
            Endpoint(
                methods=("POST",),
                path="/api/v1/controls/{service}/{region}/{name}/release",
                permission=Permission.OPERATE,
                handler=self.release,
                json_only=True,
            ),
        ]

    async def read(self, request: web.Request, _caller: Caller) -> web.Response:
        """Every control of the scope that was ever written."""
        scope = _scope_of(request)
        controls = await self._operations.controls(scope)
        shown = {name: _shown(control) for name, control in sorted(controls.items())}
        return answer({"scope": str(scope), "controls": shown})

    async def set_intent(self, request: web.Request, caller: Caller) -> web.Response:
        """Write an intent; a trip over it stays in force."""
        scope, name = _scope_of(request), request.match_info["name"]
        async with self._bodies.hold(request, command=True) as body:
            command = decode_command(body, SetIntent)
        control = await self._operations.set_intent(scope, name, command.value)
        audit(request, caller, "set_intent", scope=str(scope), control=name)
        return answer({"scope": str(scope), "name": name, "control": _shown(control)})

    async def release(self, request: web.Request, caller: Caller) -> web.Response:
        """Take the trip away; 409 while an incident is open on the scope."""
        scope, name = _scope_of(request), request.match_info["name"]
        async with self._bodies.hold(request, command=True) as body:
            command = decode_command(body, Release)
        control = await self._operations.release(
            scope, name, because=command.reason, by=caller.name
        )
        audit(request, caller, "release", reason=command.reason, scope=str(scope), control=name)
        return answer({"scope": str(scope), "name": name, "control": _shown(control)})


def _scope_of(request: web.Request) -> Scope:
    return Scope.of(request.match_info["service"], request.match_info.get("region", "global"))


def _shown(control: Control) -> dict[str, object]:
    return {
        "value": control.effective,
        "intent": control.intent,
        "tripped": control.trip is not None,
        "version": control.version,
        "epoch": control.epoch,
        "incident_id": control.incident_id,
        "updated_at_ms": control.updated_at_ms,
    }
