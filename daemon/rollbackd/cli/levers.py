"""`rollbackd levers`: the types of levers, what each takes, and the schema of the levers file."""

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rollbackd.cli.failures import FailureError
from rollbackd.cli.options import Output, OutputOption
from rollbackd.cli.tables import print_table
from rollbackd.documents.reader import suggestion
from rollbackd.levers import LEVERS
from rollbackd.levers.catalogue import FieldPage, LeverPage, describe, lever_file_schema

_KINDS = {
    "pointer": "stays after the incident",
    "temporary": "given back at the end, with a deadline",
    "forward": "only goes forward",
}


def levers(
    type_: Annotated[
        str, typer.Argument(metavar="TYPE", help="Show one type with all that it takes.")
    ] = "",
    *,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of the levers file.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show the types of levers: what each moves, its settings and its params.

    A lever on rollbackd's own controls is there under its own name. One on another system gets a
    name and settings in the file that the config names under `levers:`.
    """
    console = Console(soft_wrap=True)
    if schema:
        console.print_json(data=lever_file_schema())
        return
    if type_ and type_ not in LEVERS:
        raise FailureError(
            f"there is no type of lever `{type_}`",
            fix=suggestion(type_, LEVERS) or "`rollbackd levers` lists them",
        )
    pages = [describe(name) for name in ([type_] if type_ else sorted(LEVERS))]
    if output is Output.JSON:
        console.print_json(data=[_plain(page) for page in pages])
    elif type_:
        _show(console, pages[0])
    else:
        _list(pages)


def _list(pages: Iterable[LeverPage]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("TYPE", "KIND", "", "WHAT IT DOES"):
        table.add_column(heading, no_wrap=heading == "TYPE")
    for page in pages:
        built_in = "built in" if page.built_in else ""
        table.add_row(page.type, page.kind, built_in, Text(page.summary))
    print_table(table)


def _show(console: Console, page: LeverPage) -> None:
    where = "built in" if page.built_in else "in the levers file"
    console.print(f"[bold]{page.type}[/bold]: {page.kind}, {_KINDS[page.kind]}; {where}")
    console.print(Text(page.summary))
    for title, fields in (("settings", page.settings), ("params", page.params)):
        if fields:
            console.print()
            print_table(_table(title, fields))


def _table(title: str, fields: Iterable[FieldPage]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in (title.upper(), "TYPE", "DEFAULT", "MEANING"):
        table.add_column(heading)
    for field in fields:
        table.add_row(
            field.name,
            Text(field.type.replace("`", "")),
            Text(field.default or "must be given"),
            Text(field.description.replace("`", "")),
        )
    return table


def _plain(page: LeverPage) -> dict[str, object]:
    return {
        "type": page.type,
        "kind": page.kind,
        "built_in": page.built_in,
        "named": page.named,
        "summary": page.summary,
        "settings": [_field(field) for field in page.settings],
        "params": [_field(field) for field in page.params],
    }


def _field(field: FieldPage) -> dict[str, str]:
    return {
        "name": field.name,
        "type": field.type.replace("`", ""),
        "default": field.default,
        "description": field.description,
    }
