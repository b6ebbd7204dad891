"""`rollbackd controls`: the switches of a scope as applications see them, and the intent."""

from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rollbackd.cli.answers import ReleasedControl, ShownControl, ShownControls
from rollbackd.cli.client import Api, Connection, call, convert
from rollbackd.cli.failures import FailureError
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
from rollbackd.cli.tables import print_table
from rollbackd.model.control_shapes import check_shape, kind_named


def controls(
    *,
    scope: ScopeArgument,
    name: Annotated[
        str | None, typer.Argument(metavar="CONTROL", help="One control, e.g. `flag:canary`.")
    ] = None,
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="A JSON object: the intent to set.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what the applications of a scope obey now, and which incident laid it over their intent.

    With CONTROL and VALUE set the rollout's intent, which is seen once no incident lies over it.
    """
    path = f"/api/v1/controls/{scope.service}/{scope.region}"
    if name is not None:
        _check_name(name)
    intent = None if name is None or value is None else _intent(name, value)

    async def work(api: Api) -> Any:
        if intent is not None:
            return await api.put(f"{path}/{quote(name or '', safe=':')}", {"value": intent})
        return await api.get(path)

    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    answer = call(connection, work)
    if output is Output.JSON:
        Console().print_json(data=answer)
        return
    if intent is not None:
        _tell(f"{name} of {scope}", convert(answer, ReleasedControl).control)
        return
    found = convert(answer, ShownControls).controls
    found = {each: control for each, control in found.items() if name in {None, each}}
    if not found and name is not None:
        print(f"`{name}` of {scope} was never written; applications see its default")
        return
    if not found:
        print(f"no control of {scope} was ever written; applications see the defaults")
        return
    print_table(_table(found))


def _check_name(name: str) -> None:
    try:
        kind_named(name)
    except ValueError as error:
        raise FailureError(str(error)) from None


def _intent(name: str, text: str) -> dict[str, object]:
    try:
        value = msgspec.json.decode(text, type=dict[str, object])
        check_shape(name, value)
    except msgspec.MsgspecError as error:
        raise FailureError(
            f"`{text[:80]}` is no JSON object: {error}", fix="write it as '{\"level\": 2}'"
        ) from None
    except ValueError as error:
        raise FailureError(str(error)) from None
    return value


def _tell(what: str, control: ShownControl) -> None:
    if control.tripped:
        print(
            f"set the intent of {what} to {pairs(control.intent)}; incident {control.incident_id}"
            f" lies over it, and applications see {pairs(control.value)}"
        )
    else:
        print(f"set {what}; applications now see {pairs(control.value)}")


def _table(found: dict[str, ShownControl]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("control", "in effect", "the rollout's intent", "incident", "changed"):
        table.add_column(column, overflow="fold", no_wrap=column in {"control", "incident"})
    for name, control in sorted(found.items()):
        table.add_row(
            Text(name, style="bold"),
            Text(pairs(control.value), style="bold yellow" if control.tripped else ""),
            Text(pairs(control.intent), style="" if control.tripped else "dim"),
            Text(control.incident_id if control.tripped else "-"),
            Text(moment(control.updated_at_ms), style="dim"),
        )
    return table
