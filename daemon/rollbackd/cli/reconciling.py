"""`rollbackd reconcile`: receipts against what a system downstream really holds."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from rollbackd.cli.client import Api, Connection, call, convert
from rollbackd.cli.failures import FAILED, FailureError
from rollbackd.cli.operating import post
from rollbackd.cli.options import (
    DEFAULT_URL,
    AnyScopeOption,
    CaFileOption,
    Output,
    OutputOption,
    TokenFileOption,
    UrlOption,
)
from rollbackd.cli.tables import print_table
from rollbackd.errors import PermanentError
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import Reconciliation, Window
from rollbackd.reconciliation.comparing import reconcile as compared
from rollbackd.reconciliation.comparing import summed
from rollbackd.reconciliation.formats import Items, effects_of, entries_of, read_file

_FILES: Final = "Files"
#: 9999-12-31, where no end is given.
_EVER_MS: Final = 253_402_214_400_000


def _time_ms(value: str) -> int:
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        raise typer.BadParameter("not a time; write it like `2026-11-23T10:00:00Z`") from None
    if moment.tzinfo is None:
        raise typer.BadParameter(f"it has no time zone; for UTC write `{value}Z`")
    return round(moment.timestamp() * 1_000)


_TIME: Final[dict[str, Any]] = {"metavar": "TIME", "parser": _time_ms}
_FILE: Final[dict[str, Any]] = {
    "metavar": "FILE", "exists": True, "dir_okay": False, "rich_help_panel": _FILES,
}  # fmt: skip


def reconcile(
    *,
    incident: Annotated[
        str, typer.Option(metavar="ID", help="From the first bad event of an incident on.")
    ] = "",
    scope: AnyScopeOption = None,
    since: Annotated[
        int | None, typer.Option("--from", help="From this time on, RFC 3339.", **_TIME)
    ] = None,
    until: Annotated[
        int | None, typer.Option("--to", help="Up to this time; now, if left out.", **_TIME)
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Take this open item as it is. May be repeated."),
    ] = None,
    accept_all: Annotated[
        bool, typer.Option("--accept-all", help="Take every open item that is named as it is.")
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", "-r", metavar="TEXT", help="Why items are accepted.")
    ] = "",
    ledger: Annotated[
        Path | None,
        typer.Option(help="Receipts as .json, .ndjson or .csv; asks no daemon.", **_FILE),
    ] = None,
    downstream: Annotated[
        Path | None, typer.Option(help="What is really there, in the same formats.", **_FILE)
    ] = None,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compare receipts with what is there downstream; exit code 1 while anything is open.

    Of an incident, of a scope and a time, or of two files.
    """
    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    accepts = bool(accept) or accept_all
    if sum((bool(incident), since is not None and not ledger, bool(ledger or downstream))) != 1:
        raise typer.BadParameter(
            "say one of `--incident ID`, `--scope S --from TIME`, `--ledger FILE --downstream FILE`"
        )
    if accepts and not (incident and reason):
        raise typer.BadParameter("accepting needs `--incident ID` and `--reason TEXT`")
    if accepts:
        found = _accepted(connection, incident, [] if accept_all else list(accept or ()), reason)
    elif incident:
        found = _asked(connection, f"/api/v1/incidents/{incident}/reconciliation", {})
    elif ledger is not None or downstream is not None:
        found = _of_files(ledger, downstream, scope, since, until)
    else:
        found = _of_scope(connection, scope, since, until)
    _show(found, output)
    if not found.is_known or found.open_items:
        raise typer.Exit(FAILED)


def _accepted(
    connection: Connection, incident: str, keys: list[str], reason: str
) -> Reconciliation:
    body = {"keys": keys, "reason": reason}
    answer = post(connection, f"/api/v1/incidents/{incident}/reconciliation", body)
    return convert(answer, Reconciliation)


def _of_scope(
    connection: Connection, scope: Scope | None, since: int | None, until: int | None
) -> Reconciliation:
    if scope is None or since is None:
        raise typer.BadParameter("`--from TIME` needs `--scope SERVICE/REGION`")
    params = {"scope": str(scope), "from": _rfc3339(since)}
    if until is not None:
        params["to"] = _rfc3339(until)
    return _asked(connection, "/api/v1/reconciliation", params)


def _asked(connection: Connection, path: str, params: dict[str, str]) -> Reconciliation:
    async def work(api: Api) -> Any:
        return await api.get(path, **params)

    return convert(call(connection, work), Reconciliation)


def _of_files(
    ledger: Path | None,
    downstream: Path | None,
    scope: Scope | None,
    since: int | None,
    until: int | None,
) -> Reconciliation:
    if ledger is None or downstream is None:
        raise typer.BadParameter("`--ledger FILE` and `--downstream FILE` belong together")
    window = Window(from_ms=since or 0, to_ms=until or _EVER_MS, settled_ms=_EVER_MS)
    try:
        entries = entries_of(_items(ledger), scope)
        effects = effects_of(_items(downstream), scope)
    except PermanentError as error:
        raise FailureError(str(error)) from None
    items = compared(entries, effects, window)
    return summed(items, window, at_ms=window.to_ms, listing=str(downstream))


def _items(path: Path) -> Items:
    try:
        return read_file(path.read_bytes(), path)
    except OSError as error:
        raise FailureError(f"cannot read `{path}`: {error.strerror}") from None


def _show(found: Reconciliation, output: Output) -> None:
    if output is Output.JSON:
        Console().print_json(data=msgspec.to_builtins(found))
        return
    sys.stdout.write(f"{found.in_words}\n")
    if found.settled:
        settled = ", ".join(f"{count} {word}" for word, count in found.settled.items())
        sys.stdout.write(f"settled by what is there: {settled}\n")
    if found.items:
        print_table(_table(found))


def _table(found: Reconciliation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("KEY", "VERDICT", "LEDGER", "DOWNSTREAM", "TO DO"):
        table.add_column(name, overflow="fold")
    for item in found.items:
        table.add_row(
            item.key,
            item.verdict,
            " ".join([item.ledger_state, *item.ledger_effects]),
            " ".join([item.downstream_state, *item.downstream_effects]),
            item.resolution,
        )
    return table


def _rfc3339(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).isoformat().replace("+00:00", "Z")
