"""How a command fails: one clear line and exit code 1, never a traceback for a user's mistake."""

from typing import Any, Final

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from rollbackd.cli.diagnostics import print_diagnostics
from rollbackd.cli.help_pages import name_by_metavar, wrapped
from rollbackd.documents.diagnostics import DocumentError

#: A check found something, an incident did not close, the daemon said no or cannot be reached.
FAILED: Final = 1


class FailureError(Exception):
    """What the user is told instead of a traceback; `fix` says what to try."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class Commands(TyperGroup):
    """A group of commands: where failures become messages and exit codes, and help is tidied."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options before a command."""
        params = super().get_params(ctx)
        name_by_metavar(params)
        return params

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, with its help as it is shown."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            command.help = wrapped(command.help or "")
            name_by_metavar(command.get_params(ctx))
        return command

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except FailureError as failure:
            _print_failure(failure)
        except DocumentError as error:
            print_diagnostics(Console(stderr=True), error.diagnostics)
        raise typer.Exit(FAILED)


def _print_failure(failure: FailureError) -> None:
    console = Console(stderr=True, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), str(failure)))
    if failure.fix:
        console.print(Text.assemble(("  fix: ", "cyan"), failure.fix))
