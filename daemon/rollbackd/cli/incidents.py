"""`rollbackd incidents`: the list, and one incident told from beginning to end."""

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rollbackd.cli.answers import IncidentList
from rollbackd.cli.client import Api, Connection, call, convert
from rollbackd.cli.incident_story import tell
from rollbackd.cli.options import (
    DEFAULT_URL,
    CaFileOption,
    Output,
    OutputOption,
    TokenFileOption,
    UrlOption,
)
from rollbackd.cli.phrases import moment, span, state_style
from rollbackd.model.incidents import Incident
from rollbackd.ports import IncidentDetail


def incidents(
    incident_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Tell this one from beginning to end.")
    ] = None,
    *,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are open.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 20,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List incidents, newest first; or tell one with its timeline, controls and hold."""
    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    if incident_id is None:
        _list(connection, output, open_only=open_only, limit=limit)
    else:
        _tell(connection, output, incident_id)


def _list(connection: Connection, output: Output, *, open_only: bool, limit: int) -> None:
    params = {"limit": str(limit), "open": "true" if open_only else "false"}

    async def work(api: Api) -> Any:
        return await api.get("/api/v1/incidents", **params)

    answer = call(connection, work)
    if output is Output.JSON:
        Console().print_json(data=answer)
        return
    found = convert(answer, IncidentList).incidents
    if not found:
        print("no open incidents" if open_only else "no incidents")
        return
    Console().print(_table(found))


def _table(found: list[Incident]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "scope", "branch", "state", "because", "opened", "took"):
        table.add_column(column, no_wrap=column in {"id", "state"}, overflow="fold")
    for incident in found:
        ended = incident.closed_at_ms
        table.add_row(
            incident.id,
            str(incident.scope),
            incident.branch,
            Text(incident.state, style=state_style(incident.state)),
            incident.reason,
            moment(incident.opened_at_ms),
            span(ended - incident.opened_at_ms) if ended else "open",
        )
    return table


def _tell(connection: Connection, output: Output, incident_id: str) -> None:
    async def work(api: Api) -> Any:
        return await api.get(f"/api/v1/incidents/{quote(incident_id, safe='')}")

    answer = call(connection, work)
    if output is Output.JSON:
        Console().print_json(data=answer)
    else:
        Console().print(tell(convert(answer, IncidentDetail)))
