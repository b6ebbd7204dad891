"""`rollbackd release`: take away the trip that a closed incident left on a control."""

from typing import Annotated

import typer
from rich.console import Console

from rollbackd.cli.answers import ReleasedControl
from rollbackd.cli.client import Connection, convert
from rollbackd.cli.operating import ReasonOption, post
from rollbackd.cli.options import (
    DEFAULT_URL,
    CaFileOption,
    Output,
    OutputOption,
    ScopeArgument,
    TokenFileOption,
    UrlOption,
)
from rollbackd.cli.phrases import pairs


def release(
    *,
    scope: ScopeArgument,
    control: Annotated[
        str, typer.Argument(metavar="CONTROL", help="The control, e.g. `flag:canary`.")
    ],
    reason: ReasonOption,
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Let the rollout's intent show again where a rollback still lies over it.

    Refused while an incident is open on the scope.
    """
    connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
    path = f"/api/v1/controls/{scope.service}/{scope.region}/{control}/release"
    answer = post(connection, path, {"reason": reason})
    if output is Output.JSON:
        Console().print_json(data=answer)
        return
    released = convert(answer, ReleasedControl)
    print(f"released {control} of {scope}; applications now see {pairs(released.control.value)}")
