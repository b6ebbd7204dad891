"""`rollbackd controls`: the switches of a scope as applications see them."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rollbackd.cli.answers import ShownControl, ShownControls
from rollbackd.cli.client import Api, Connection, call, convert
from rollbackd.cli.options import (
    DEFAULT_URL,
    CaFileOption,
    Output,
    OutputOption,
    ScopeArgument,
    TokenFileOption,
    UrlOption,
)
from rollbackd.cli.phrases import moment, pairs


def controls(
    *,
    scope: ScopeArgument,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what applications of SCOPE obey now, and which incident laid it over their intent."""

    async def work(api: Api) -> Any:
        return await api.get(f"/api/v1/controls/{scope.service}/{scope.region}")

    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    answer = call(connection, work)
    if output is Output.JSON:
        Console().print_json(data=answer)
        return
    found = convert(answer, ShownControls).controls
    if not found:
        print(f"no control of {scope} was ever written; applications see the defaults")
        return
    Console().print(_table(found))


def _table(found: dict[str, ShownControl]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("control", "in effect", "the rollout's intent", "incident", "changed"):
        table.add_column(column, overflow="fold")
    for name, control in sorted(found.items()):
        table.add_row(
            Text(name, style="bold"),
            Text(pairs(control.value), style="bold yellow" if control.tripped else ""),
            Text(pairs(control.intent), style="" if control.tripped else "dim"),
            Text(control.incident_id if control.tripped else "-"),
            Text(moment(control.updated_at_ms), style="dim"),
        )
    return table
