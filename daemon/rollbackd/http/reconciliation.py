"""Receipts compared with what is there downstream: look, and accept what a person has looked at."""

from datetime import datetime
from typing import Annotated

import msgspec
from aiohttp import web

from rollbackd.http.answers import answer, decode_command
from rollbackd.http.bodies import Bodies
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import READING, Endpoint
from rollbackd.http.incidents import incident_id_of
from rollbackd.http.operators import Reason, audit
from rollbackd.http.refusals import Refusal
from rollbackd.model.labels import Scope
from rollbackd.ports import Operations
from rollbackd.settings import Permission

_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=1_024)]


class Acceptance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Open items that a person accepts as they are; without keys all that are named."""

    reason: Reason
    keys: Annotated[list[_Key], msgspec.Meta(max_length=1_000)] = []


class ReconciliationApi:
    """Looking needs `read`, accepting needs `operate`."""

    def __init__(self, operations: Operations, bodies: Bodies) -> None:
        self._operations = operations
        self._bodies = bodies

    def endpoints(self) -> list[Endpoint]:
        """Of a time, and of an incident."""
        return [
            Endpoint(
                methods=READING,
                path="/api/v1/reconciliation",
                permission=Permission.READ,
                handler=self.of_scope,
            ),
            Endpoint(
                methods=READING,
                path="/api/v1/incidents/{id}/reconciliation",
                permission=Permission.READ,
                handler=self.of_incident,
            ),
            Endpoint(
                methods=("POST",),
                path="/api/v1/incidents/{id}/reconciliation",
                permission=Permission.OPERATE,
                handler=self.accept,
                json_only=True,
            ),
        ]

    async def of_scope(self, request: web.Request, _caller: Caller) -> web.Response:
        """`?scope=service/region&from=...&to=...`; `to` is now where it is left out."""
        scope = Scope.parse(request.query.get("scope", ""))
        from_ms, to_ms = _time_ms(request, "from"), _time_ms(request, "to")
        if from_ms is None:
            raise Refusal(400, "`from` is missing; write it like `2026-11-23T10:00:00Z`")
        return answer(await self._operations.compare_receipts(scope, from_ms, to_ms))

    async def of_incident(self, request: web.Request, _caller: Caller) -> web.Response:
        """From the first bad event on."""
        return answer(await self._operations.reconciliation(incident_id_of(request)))

    async def accept(self, request: web.Request, caller: Caller) -> web.Response:
        """Accept open items; 400 when one of them is none."""
        incident_id = incident_id_of(request)
        async with self._bodies.hold(request, command=True) as body:
            command = decode_command(body, Acceptance)
        incident = await self._operations.accept_items(
            incident_id, command.keys, by=caller.name, because=command.reason
        )
        audit(request, caller, "accept items", reason=command.reason, incident_id=incident_id)
        return answer(incident.reconciliation)


def _time_ms(request: web.Request, name: str) -> int | None:
    """An RFC 3339 time of the query. Raises Refusal."""
    word = request.query.get(name, "")
    if not word:
        return None
    try:
        moment = msgspec.convert(word, datetime)
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Refusal(400, f"`{name}={word[:40]}` is no time; write it like `2026-11-23T10:00:00Z`")
    return round(moment.timestamp() * 1_000)
