"""What a person says to a running daemon: pull, decide; and how it is."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rollbackd.cli.client import Api, Connection, call, convert
from rollbackd.cli.options import (
    DEFAULT_URL,
    CaFileOption,
    Output,
    OutputOption,
    ScopeOption,
    TokenFileOption,
    UrlOption,
)
from rollbackd.cli.phrases import moment
from rollbackd.cli.tables import print_table
from rollbackd.model.incidents import Incident

ReasonOption = Annotated[
    str, typer.Option("--reason", "-r", help="Why; it goes into the audit trail.", metavar="TEXT")
]


class Decision(StrEnum):
    """A person's word on an incident."""

    #: Go on: the branch asks before its first act.
    APPROVE = "approve"
    #: Do not act.
    DECLINE = "decline"
    #: Give every temporary measure back now, audit and close.
    RESTORE = "restore"
    #: The cache was rotated by hand, after a flip whose rotation failed.
    ROTATED = "rotated"
    #: End it as it stands; refused while a temporary measure is in force.
    ABORT = "abort"
    #: End it and take over the measures that are in force.
    ABORT_LEAVING_MEASURES = "abort_leaving_measures"
    #: The measures that an aborted incident left in force are known.
    ACKNOWLEDGE = "acknowledge"


def pull(
    *,
    branch: Annotated[
        str,
        typer.Argument(
            metavar="BRANCH", help="Branch of the decision tree, e.g. `quality_regression`."
        ),
    ],
    scope: ScopeOption,
    reason: ReasonOption,
    region: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REGION",
            help="One more region of the service, once the one before is green. May be repeated.",
        ),
    ] = None,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Open an incident by hand: roll a scope back along BRANCH without waiting for a rule."""
    body: dict[str, Any] = {"branch": branch, "scope": str(scope), "reason": reason}
    if region:
        body["regions"] = region
    answer = post(_connection(url, token_file, ca_file), "/api/v1/incidents", body)
    incident = _incident(answer, output)
    if incident is not None:
        print(f"opened incident {incident.id}: {branch} on {scope}")
        print(f"follow it with `rollbackd incidents {incident.id}`")


def decide(
    *,
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="The incident.")],
    decision: Annotated[
        Decision,
        typer.Argument(
            metavar="DECISION",
            help="`approve` or `decline` what asks first; `restore`: give all measures back now; "
            "`rotated`: the cache was rotated by hand; `abort`: end it as it stands; "
            "`abort_leaving_measures`, later `acknowledge`: the measures in force are yours.",
        ),
    ],
    reason: ReasonOption,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say how an incident that waits for a person goes on."""
    path = f"/api/v1/incidents/{incident_id}/decision"
    body = {"decision": decision.value, "reason": reason}
    answer = post(_connection(url, token_file, ca_file), path, body)
    incident = _incident(answer, output)
    if incident is not None:
        print(f"incident {incident.id} was {incident.state}; told to {decision.value}")


def status(
    *,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show how the daemon is: its time, pause, sources, rules and open incidents."""

    async def work(api: Api) -> Any:
        return await api.get("/api/v1/status")

    answer = call(_connection(url, token_file, ca_file), work)
    if output is Output.JSON:
        Console().print_json(data=answer)
        return
    print_table(_status_table(convert(answer, dict[str, Any])))


def _status_table(answer: dict[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for key, value in answer.items():
        if key == "not_ready":
            table.add_row("ready", f"no: {_shown(value)}" if value else "yes")
        else:
            table.add_row(*_field(key, value))
    return table


def _field(key: str, value: object) -> tuple[str, str]:
    if key.endswith("_ms") and isinstance(value, int):
        return key.removesuffix("_ms").replace("_", " "), moment(value)
    return key.replace("_", " "), _shown(value)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "\n".join(": ".join(_field(k, v)) for k, v in value.items()) or "none"
    if isinstance(value, list):
        return "\n".join(_row(item) for item in value) or "none"
    return "no" if value is None else str(value)


def _row(item: object) -> str:
    return " ".join(_shown(v) for v in item.values()) if isinstance(item, dict) else _shown(item)


def _connection(url: str, token_file: Path | None, ca_file: Path | None) -> Connection:
    return Connection(url=url, token_file=token_file, ca_file=ca_file)


def post(connection: Connection, path: str, body: dict[str, Any]) -> Any:
    """What the daemon answers to an act by hand. Raises FailureError."""

    async def work(api: Api) -> Any:
        return await api.post(path, body)

    return call(connection, work)


def _incident(answer: Any, output: Output) -> Incident | None:
    """The incident of an answer, or None when it was printed as JSON."""
    if output is Output.JSON:
        Console().print_json(data=answer)
        return None
    return convert(answer, Incident)
