"""`rollbackd version`."""

import platform
import sys

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
