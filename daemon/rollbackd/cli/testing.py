"""`rollbackd test`: rule tests on the engine that the daemon uses."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from rollbackd.cli.diagnostics import as_json, print_diagnostics
from rollbackd.cli.failures import FAILED
from rollbackd.cli.options import Output, OutputOption
from rollbackd.cli.phrases import counted
from rollbackd.cli.rule_tests import RuleTestRun, run_tests
from rollbackd.triggers.unit_tests import CaseResult


def run_rule_tests(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Test files in promtool's format.")
    ],
    *,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print the cases that pass, too.")
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Run rule tests: the files that `promtool test rules` takes, on the daemon's own engine.

    A case that fails prints what was expected (-) against what came (+).
    """
    runs = [run_tests(path) for path in files]
    if output is Output.JSON:
        Console().print_json(data=_as_json(runs))
    else:
        _print_text(runs, verbose=verbose)
    if not all(run.passed for run in runs):
        raise typer.Exit(FAILED)


def _as_json(runs: list[RuleTestRun]) -> dict[str, object]:
    files = [
        {
            "file": str(run.path),
            "ok": run.passed,
            "cases": [
                {
                    "name": case.name,
                    "passed": case.passed,
                    "expected": case.expected,
                    "got": case.got,
                    "line": case.position.line,
                }
                for case in run.cases
            ],
            "diagnostics": [as_json(d) for d in run.diagnostics],
        }
        for run in runs
    ]
    return {"ok": all(run.passed for run in runs), "files": files}


def _print_text(runs: list[RuleTestRun], *, verbose: bool) -> None:
    console = Console(soft_wrap=True, highlight=False)
    print_diagnostics(Console(stderr=True), (d for run in runs for d in run.diagnostics))
    for run in runs:
        mark, style = ("ok", "green") if run.passed else ("FAILED", "bold red")
        console.print(Text.assemble((f"{mark:<6} ", style), str(run.path)))
        for case in run.cases:
            if not case.passed:
                console.print(_failure(case))
            elif verbose:
                console.print(Text(f"  passed  {case.name}", style="green"))
    cases = [case for run in runs for case in run.cases]
    failed = sum(not case.passed for case in cases)
    console.print(f"{counted(len(runs), 'file')}, {counted(len(cases), 'case')}, {failed} failed")


def _failure(case: CaseResult) -> Text:
    text = Text(f"  {case.position}: {case.name}")
    for line in _difference(case):
        style = {"-": "red", "+": "green"}.get(line[0], "dim")
        text.append(f"\n      {line}", style=style)
    return text


def _difference(case: CaseResult) -> Iterator[str]:
    for line in difflib.ndiff(case.expected.splitlines(), case.got.splitlines()):
        # The hint lines of ndiff (`?`) only confuse beside labels.
        if not line.startswith("?"):
            yield line
