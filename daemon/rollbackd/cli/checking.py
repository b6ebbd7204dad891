"""`rollbackd check`: all problems of all files at once, with their positions."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from rollbackd.cli.diagnostics import as_json, print_diagnostics
from rollbackd.cli.failures import FAILED
from rollbackd.cli.inspection import Inspection, files_in, inspect, inspect_shipped
from rollbackd.cli.options import Output, OutputOption
from rollbackd.cli.phrases import counted
from rollbackd.documents.diagnostics import errors_in


def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Files, or folders of YAML files. Without one: the shipped rules.",
        ),
    ] = None,
    *,
    output: OutputOption = Output.TEXT,
) -> None:
    """Check config files, rule files, decision trees and rule tests.

    What a file is follows from its keys. A config is checked with every file that it names.
    """
    inspections = [inspect(path) for path in files_in(files)] if files else [inspect_shipped()]
    if not inspections:
        raise typer.BadParameter("there is no YAML file in there", param_hint="FILE")
    if output is Output.JSON:
        _print_json(inspections)
    else:
        _print_text(inspections)
    if not all(inspection.good for inspection in inspections):
        raise typer.Exit(FAILED)


def _print_json(inspections: list[Inspection]) -> None:
    files = [
        {
            "file": str(inspection.path),
            "kind": inspection.shape,
            "ok": inspection.good,
            "diagnostics": [as_json(d) for d in inspection.diagnostics],
        }
        for inspection in inspections
    ]
    Console().print_json(data={"ok": all(i.good for i in inspections), "files": files})


def _print_text(inspections: list[Inspection]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    problems = [d for inspection in inspections for d in inspection.diagnostics]
    print_diagnostics(Console(stderr=True), problems)
    for inspection in inspections:
        mark, style = ("ok", "green") if inspection.good else ("FAILED", "bold red")
        kind = f" ({inspection.shape})" if inspection.shape else ""
        console.print(Text.assemble((f"{mark:<6} ", style), f"{inspection.path}{kind}"))
    errors = len(errors_in(problems))
    console.print(
        f"{counted(len(inspections), 'file')}, {counted(errors, 'error')}, "
        f"{counted(len(problems) - errors, 'warning')}"
    )
