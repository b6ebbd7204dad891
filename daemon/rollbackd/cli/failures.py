"""How a command fails: one clear line and exit code 1, never a traceback for a user's mistake."""

from inspect import cleandoc
from typing import Any, Final

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from rollbackd.cli.diagnostics import print_diagnostics
from rollbackd.documents.diagnostics import DocumentError

#: A check found something, an incident did not close, the daemon said no or cannot be reached.
FAILED: Final = 1


class FailureError(Exception):
    """What the user is told instead of a traceback; `fix` says what to try."""

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.fix = fix


class Commands(TyperGroup):
    """The root group: the one place where failures become messages and exit codes."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command; its help is wrapped by the terminal, not by the source."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and command.help:
            paragraphs = cleandoc(command.help).split("\n\n")
            command.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)
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
