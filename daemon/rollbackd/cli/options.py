"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from yarl import URL

from rollbackd.model.labels import Scope

DEFAULT_URL = "http://127.0.0.1:9797"


class Output(StrEnum):
    """How a command prints its result."""

    #: For people.
    TEXT = "text"
    #: For scripts; the same facts as one JSON document.
    JSON = "json"


def checked_url(value: str) -> str:
    """An address of the daemon. Raises BadParameter."""
    try:
        url = URL(value)
    except ValueError:
        raise typer.BadParameter("not a URL; write it like `http://127.0.0.1:9797`") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise typer.BadParameter("not a URL; write it like `http://127.0.0.1:9797`")
    if url.user or url.password:
        # The value is not repeated: it holds a password.
        raise typer.BadParameter("the URL must not carry credentials; use --token-file")
    return value.rstrip("/")


def parsed_scope(value: str) -> Scope:
    """A scope as it is written. Raises BadParameter."""
    try:
        return Scope.parse(value)
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write it like `rag/eu`") from None


UrlOption = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="ROLLBACKD_URL",
        help="Where the daemon listens.",
        metavar="URL",
        callback=checked_url,
        rich_help_panel="Connection",
    ),
]

TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="ROLLBACKD_TOKEN_FILE",
        help="File whose first line is the bearer token.",
        metavar="FILE",
        rich_help_panel="Connection",
    ),
]

CaFileOption = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        envvar="ROLLBACKD_CA_FILE",
        help="CA that signed the daemon's certificate, when it is not a public one.",
        metavar="FILE",
        rich_help_panel="Connection",
    ),
]

OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="`text` for people, `json` for scripts.")
]

ScopeOption = Annotated[
    Scope,
    typer.Option(
        "--scope",
        help="What to roll back: `service/region`, or `service` alone for region `global`.",
        metavar="SERVICE/REGION",
        parser=parsed_scope,
    ),
]

AnyScopeOption = Annotated[
    Scope | None,
    typer.Option(
        "--scope",
        help="One scope only: `service/region`, or `service` alone for region `global`.",
        metavar="SERVICE/REGION",
        parser=parsed_scope,
    ),
]

ScopeArgument = Annotated[
    Scope,
    typer.Argument(
        help="`service/region`, or `service` alone for region `global`.",
        metavar="SERVICE/REGION",
        parser=parsed_scope,
    ),
]

AnyScopeArgument = Annotated[
    Scope | None,
    typer.Argument(
        help="One scope only: `service/region`, or `service` alone for region `global`.",
        metavar="SERVICE/REGION",
        parser=parsed_scope,
    ),
]
