"""`rollbackd close`: a person files what it was."""

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from rollbackd.cli.client import Api, Connection, call, convert
from rollbackd.cli.options import (
    DEFAULT_URL,
    CaFileOption,
    Output,
    OutputOption,
    TokenFileOption,
    UrlOption,
)
from rollbackd.incidents.closing import CAUSE_CLASSES
from rollbackd.model.incidents import Incident


def close(
    *,
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="The incident.")],
    final: Annotated[
        bool,
        typer.Option("--final", help="Has to be said: the root cause is known and goes on record."),
    ] = False,
    cause: Annotated[
        str,
        typer.Option("--cause", metavar="CLASS", help=f"One of {', '.join(CAUSE_CLASSES)}."),
    ] = "",
    summary: Annotated[
        str, typer.Option("--summary", metavar="TEXT", help="What it was, in a sentence or two.")
    ] = "",
    owner: Annotated[
        str, typer.Option("--owner", metavar="NAME", help="Who sees to it that it is mended.")
    ] = "",
    link: Annotated[
        str, typer.Option("--link", metavar="URL", help="The ticket, or the fix itself.")
    ] = "",
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """File the root cause of an incident that has ended; its report is written again.

    An incident ends by itself, or by `rollbackd decide`. This is refused while a field is empty,
    or the evidence bundle is absent or not as it was written.
    """
    if not final:
        raise typer.BadParameter(
            "an incident ends by itself or by `rollbackd decide`; to file its root cause say"
            " --final"
        )
    body = {"cause": cause, "summary": summary, "owner": owner, "link": link}
    path = f"/api/v1/incidents/{quote(incident_id, safe='')}/root-cause"

    async def work(api: Api) -> Any:
        return await api.post(path, body)

    answer = call(Connection(url=url, token_file=token_file, ca_file=ca_file), work)
    if output is Output.JSON:
        Console().print_json(data=answer)
        return
    incident = convert(answer, Incident)
    print(f"incident {incident.id}: root cause {cause} filed, owner {owner}")
