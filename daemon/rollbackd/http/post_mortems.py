"""After the incident: read its report, file its root cause."""

from typing import Annotated, Final

import msgspec
from aiohttp import web

from rollbackd.http.answers import answer, decode_command
from rollbackd.http.bodies import Bodies
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import READING, Endpoint
from rollbackd.http.incidents import incident_id_of
from rollbackd.http.operators import audit
from rollbackd.http.refusals import Refusal
from rollbackd.ports import Operations
from rollbackd.settings import Permission

#: What the page says of itself too: nothing is fetched, and nothing runs.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

_Text = Annotated[str, msgspec.Meta(max_length=4_000)]


class RootCauseCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person found out. A field that is left out is empty, and then it is refused."""

    cause: _Text = ""
    summary: _Text = ""
    owner: _Text = ""
    link: _Text = ""


class PostMortemApi:
    """Reports and root causes."""

    def __init__(self, operations: Operations, bodies: Bodies) -> None:
        self._operations = operations
        self._bodies = bodies

    def endpoints(self) -> list[Endpoint]:
        """Reading needs `read`, filing needs `operate`."""
        return [
            Endpoint(
                methods=READING,
                path="/api/v1/incidents/{id}/report",
                permission=Permission.READ,
                handler=self.report,
            ),
            Endpoint(
                methods=("POST",),
                path="/api/v1/incidents/{id}/root-cause",
                permission=Permission.OPERATE,
                handler=self.close,
                json_only=True,
            ),
        ]

    async def report(self, request: web.Request, _caller: Caller) -> web.Response:
        """The post-mortem as a page; 404 when there is none on this replica."""
        incident_id = incident_id_of(request)
        page = await self._operations.report(incident_id)
        if page is None:
            raise Refusal(404, "there is no report of this incident here")
        return web.Response(
            body=page,
            headers={
                "Content-Type": "text/html; charset=utf-8",
                "Content-Security-Policy": _POLICY,
            },
        )

    async def close(self, request: web.Request, caller: Caller) -> web.Response:
        """File the root cause of an incident that has ended."""
        incident_id = incident_id_of(request)
        async with self._bodies.hold(request, command=True) as body:
            command = decode_command(body, RootCauseCommand)
        incident = await self._operations.close(
            incident_id,
            cause=command.cause,
            summary=command.summary,
            owner=command.owner,
            link=command.link,
            by=caller.name,
        )
        audit(request, caller, "close", incident_id=incident_id)
        return answer(incident)
