"""Incidents: look at them, open one by hand, decide about one."""

import re
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web

from rollbackd.documents.canonical_json import canonical_json
from rollbackd.http.answers import answer, decode_command
from rollbackd.http.bodies import Bodies
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import READING, Endpoint
from rollbackd.http.operators import Reason, audit
from rollbackd.http.refusals import Refusal
from rollbackd.model.labels import Scope
from rollbackd.ports import Operations
from rollbackd.settings import Permission

_INCIDENT_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MOST: Final = 1_000
_WORDS: Final = {"true": True, "1": True, "false": False, "0": False}


class Pull(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Opens an incident by hand; `regions` are rolled back after the scope's own, one by one."""

    branch: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    scope: str
    reason: Reason
    regions: Annotated[list[str], msgspec.Meta(max_length=64)] = []


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's word on an incident."""

    decision: Literal[
        "approve",
        "decline",
        "restore",
        "rotated",
        "abort",
        "abort_leaving_measures",
        "acknowledge",
    ]
    reason: Reason


class IncidentsApi:
    """The incidents as the store has them."""

    def __init__(self, operations: Operations, bodies: Bodies) -> None:
        self._operations = operations
        self._bodies = bodies

    def endpoints(self) -> list[Endpoint]:
        """Reading needs `read`, acting needs `operate`."""
        return [
            Endpoint(
                methods=READING,
                path="/api/v1/incidents",
                permission=Permission.READ,
                handler=self.list,
            ),
            Endpoint(
                methods=("POST",),
                path="/api/v1/incidents",
                permission=Permission.OPERATE,
                handler=self.pull,
                json_only=True,
            ),
            Endpoint(
                methods=READING,
                path="/api/v1/incidents/{id}",
                permission=Permission.READ,
                handler=self.show,
            ),
            Endpoint(
                methods=("POST",),
                path="/api/v1/incidents/{id}/decision",
                permission=Permission.OPERATE,
                handler=self.decide,
                json_only=True,
            ),
        ]

    async def list(self, request: web.Request, _caller: Caller) -> web.Response:
        """Newest first; `?open=true` leaves out those that ended."""
        open_only = _flag(request, "open")
        limit = _limit(request)
        found = await self._operations.incidents(open_only=open_only, limit=limit)
        return answer({"incidents": found})

    async def show(self, request: web.Request, _caller: Caller) -> web.Response:
        """One incident with its journal."""
        incident_id = incident_id_of(request)
        detail = await self._operations.incident(incident_id)
        if detail is None:
            raise KeyError(incident_id)
        # the text that the journal's chain is over, so that it can be verified from here
        return web.Response(body=canonical_json(detail), content_type="application/json")

    async def pull(self, request: web.Request, caller: Caller) -> web.Response:
        """Open an incident; 409 when the scope has one."""
        async with self._bodies.hold(request, command=True) as body:
            command = decode_command(body, Pull)
        scope = Scope.parse(command.scope)
        incident = await self._operations.pull(
            command.branch,
            scope,
            reason=command.reason,
            by=caller.name,
            regions=command.regions,
        )
        audit(request, caller, "pull", reason=command.reason, incident_id=incident.id)
        where = f"/api/v1/incidents/{incident.id}"
        return answer(incident, status=201, headers={"Location": where})

    async def decide(self, request: web.Request, caller: Caller) -> web.Response:
        """Approve, decline, restore, abort and so on; 400 when it does not fit the incident."""
        incident_id = incident_id_of(request)
        async with self._bodies.hold(request, command=True) as body:
            command = decode_command(body, Decision)
        incident = await self._operations.decide(incident_id, command.decision, by=caller.name)
        audit(request, caller, command.decision, reason=command.reason, incident_id=incident_id)
        return answer(incident)


def incident_id_of(request: web.Request) -> str:
    """The id in the path. Raises Refusal."""
    incident_id = request.match_info["id"]
    if not _INCIDENT_ID.fullmatch(incident_id):
        raise Refusal(404, "there is no incident of this id")
    return incident_id


def _flag(request: web.Request, name: str) -> bool:
    word = request.query.get(name, "false")
    if word not in _WORDS:
        raise Refusal(400, f"`{name}={word[:40]}` must be true or false")
    return _WORDS[word]


def _limit(request: web.Request) -> int:
    word = request.query.get("limit", "100")
    # ASCII digits only: int() also takes other scripts, signs and underscores.
    if not re.fullmatch(r"[0-9]{1,4}", word) or not 1 <= int(word) <= _MOST:
        raise Refusal(400, f"`limit={word[:40]}` must be 1 to {_MOST}")
    return int(word)
