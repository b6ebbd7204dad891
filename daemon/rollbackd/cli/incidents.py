"""`rollbackd incidents`: the list, and one incident told from beginning to end."""

from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rollbackd.cli.answers import IncidentList
from rollbackd.cli.client import Api, Connection, call, convert
from rollbackd.cli.emitting import emit
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

_TEST: Final = "A regression test of it"
#: Columns that no table needs.
_WIDEST: Final = 10_000


def incidents(
    incident_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="Tell this one from beginning to end.")
    ] = None,
    *,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are open.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=1000, help="List at most so many.")
    ] = 20,
    emit_test: Annotated[
        bool,
        typer.Option(
            "--emit-test", help="Print its window as a rule unit test.", rich_help_panel=_TEST
        ),
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="Write the test there instead.", rich_help_panel=_TEST
        ),
    ] = None,
    rules: Annotated[
        list[Path] | None,
        typer.Option(
            "--rules",
            metavar="FILE",
            help="Rule files or folders instead of the shipped ones; may be repeated.",
            rich_help_panel=_TEST,
        ),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List incidents, newest first; or tell one with its timeline, controls and hold.

    With --emit-test, the samples that its rule read become a unit test that fires, for
    `rollbackd test` and `promtool test rules`.
    """
    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    if (to is not None or rules) and not emit_test:
        raise typer.BadParameter("--to and --rules are for --emit-test")
    if emit_test:
        if incident_id is None:
            raise typer.BadParameter("--emit-test needs the ID of an incident")
        emit(convert(_detail(connection, incident_id), IncidentDetail).incident, rules, to)
    elif incident_id is None:
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
    _print_whole(_table(found))


def _print_whole(table: Table) -> None:
    """Ids are copied and lines searched: a narrow terminal wraps its lines, not their cells."""
    console = Console()
    whole = console.measure(table, options=console.options.update(width=_WIDEST)).maximum
    Console(width=max(console.width, whole)).print(table)


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


def _detail(connection: Connection, incident_id: str) -> Any:
    async def work(api: Api) -> Any:
        return await api.get(f"/api/v1/incidents/{quote(incident_id, safe='')}")

    return call(connection, work)


def _tell(connection: Connection, output: Output, incident_id: str) -> None:
    answer = _detail(connection, incident_id)
    if output is Output.JSON:
        Console().print_json(data=answer)
    else:
        Console().print(tell(convert(answer, IncidentDetail)))
