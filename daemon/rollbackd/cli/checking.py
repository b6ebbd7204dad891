"""`rollbackd check`: all problems of all files at once, with their positions."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from rollbackd.cli.diagnostics import as_github, as_json, in_order, print_diagnostics
from rollbackd.cli.failures import FAILED
from rollbackd.cli.inspection import Inspection, inspect_all, inspect_shipped
from rollbackd.cli.phrases import counted
from rollbackd.cli.record_shapes import named_mapping
from rollbackd.cli.sampling import Sampled
from rollbackd.clock import SystemClock
from rollbackd.documents.diagnostics import Diagnostic, DocumentError, errors_in
from rollbackd.settings import default_settings


class Format(StrEnum):
    """How problems are printed."""

    #: For people, with the source line.
    TEXT = "text"
    #: One line a problem, as compilers write them.
    SHORT = "short"
    #: One annotation a problem on a pull request.
    GITHUB = "github"
    #: For scripts: every fact as one JSON document.
    JSON = "json"


def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="Files, or folders of YAML files. Without one: the shipped rules.",
        ),
    ] = None,
    *,
    sample: Annotated[
        Path | None,
        typer.Option(
            "--sample",
            metavar="EVENTS",
            help="Events as JSON, a list or one a line: show what they become by the mapping that "
            "is named, or as native events.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail the check, too.")] = False,
    output: Annotated[
        Format,
        typer.Option(
            "--output",
            "-o",
            help="`text` for people, `short` for one line a problem, `github` for annotations, "
            "`json` for scripts.",
        ),
    ] = Format.TEXT,
) -> None:
    """Check config files, rule files, decision trees, mappings and rule tests.

    What a file is follows from its keys. A config is checked with every file that it names. Each
    problem has an id, which is a page in docs/diagnostics.
    """
    if sample is not None:
        _show_sample(sample, files or [], output)
        return
    inspections = inspect_all(files) if files else [inspect_shipped()]
    if not inspections:
        raise typer.BadParameter("there is no YAML file in there", param_hint="FILE")
    match output:
        case Format.JSON:
            _print_json(inspections)
        case Format.GITHUB | Format.SHORT:
            write = as_github if output is Format.GITHUB else Diagnostic.headline
            _print_lines(write(d) for d in in_order(_problems(inspections)))
        case Format.TEXT:
            _print_text(inspections, strict=strict)
    if not all(_passes(inspection, strict=strict) for inspection in inspections):
        raise typer.Exit(FAILED)


def _show_sample(sample: Path, files: list[Path], output: Format) -> None:
    if len(files) > 1 or output not in {Format.TEXT, Format.JSON}:
        raise typer.BadParameter(
            "it takes one mapping or none, and prints `text` or `json`", param_hint="--sample"
        )
    try:
        mapping = named_mapping(str(files[0]), default_settings()) if files else None
        sampled = Sampled(sample, mapping, now_ms=SystemClock().now())
    except DocumentError as error:
        print_diagnostics(Console(stderr=True), error.diagnostics)
        raise typer.Exit(FAILED) from None
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    if output is Format.JSON:
        console.print_json(data=sampled.as_json())
    else:
        sampled.print(console)
    if sampled.refused or sampled.ignored == sampled.events:
        raise typer.Exit(FAILED)


def _passes(inspection: Inspection, *, strict: bool) -> bool:
    return inspection.good and not (strict and inspection.diagnostics)


def _print_json(inspections: list[Inspection]) -> None:
    problems = _problems(inspections)
    errors = len(errors_in(problems))
    files = [
        {
            "file": str(inspection.path),
            "kind": inspection.shape,
            "ok": inspection.good,
            "diagnostics": [as_json(d) for d in in_order(inspection.diagnostics)],
        }
        for inspection in inspections
    ]
    data = {"ok": not errors, "errors": errors, "warnings": len(problems) - errors, "files": files}
    Console().print_json(data=data)


def _print_lines(lines: Iterable[str]) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    for line in lines:
        console.print(line)


def _print_text(inspections: list[Inspection], *, strict: bool) -> None:
    console = Console(soft_wrap=True, highlight=False)
    problems = _problems(inspections)
    print_diagnostics(Console(stderr=True), problems)
    for inspection in inspections:
        passes = _passes(inspection, strict=strict)
        mark, style = ("ok", "green") if passes else ("FAILED", "bold red")
        kind = f" ({inspection.shape})" if inspection.shape else ""
        console.print(Text.assemble((f"{mark:<6} ", style), f"{inspection.path}{kind}"))
    errors = len(errors_in(problems))
    console.print(
        f"{counted(len(inspections), 'file')}, {counted(errors, 'error')}, "
        f"{counted(len(problems) - errors, 'warning')}"
    )


def _problems(inspections: list[Inspection]) -> list[Diagnostic]:
    return [d for inspection in inspections for d in inspection.diagnostics]
