"""`rollbackd version`, and `--version` as other programs have it."""

import platform
import sys
from typing import Annotated

import typer
from rich.console import Console

from rollbackd import __version__
from rollbackd.cli.options import Output, OutputOption


def version(output: OutputOption = Output.TEXT) -> None:
    """Print the version of rollbackd, and of the Python that runs it."""
    python = platform.python_version()
    if output is Output.JSON:
        Console().print_json(
            data={"version": __version__, "python": python, "platform": sys.platform}
        )
    else:
        print(f"rollbackd {__version__} (Python {python}, {sys.platform})")


def _print_and_end(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


def options_of_all(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_and_end, help="Print the version and end."
        ),
    ] = False,
) -> None:
    """What may stand before a command."""
