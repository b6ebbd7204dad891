"""Diagnostics on a terminal: as `Diagnostic.render` writes them, in colour."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from rollbackd.documents.catalogue import SUMMARIES, page_of
from rollbackd.documents.diagnostics import Diagnostic, Severity

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def print_diagnostics(console: Console, diagnostics: Iterable[Diagnostic]) -> None:
    """Print every problem, in the order of files and lines."""
    for diagnostic in in_order(diagnostics):
        console.print(coloured(diagnostic), soft_wrap=True)


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """By file, line and column."""
    return sorted(diagnostics, key=_place)


def coloured(diagnostic: Diagnostic) -> Text:
    """One problem as text; without colours it is exactly what `render` gives."""
    head, *rest = diagnostic.render().split("\n")
    text = Text(head)
    text.stylize("bold", 0, len(str(diagnostic.position)))
    text.highlight_words([f" {diagnostic.severity}: "], _STYLES[diagnostic.severity])
    text.highlight_words([f"({diagnostic.id})"], "dim")
    text.highlight_regex(r"`[^`]*`", "cyan")
    for line in rest:
        text.append("\n")
        text.append(line, style=_style_of(line))
    return text


def as_json(diagnostic: Diagnostic) -> dict[str, object]:
    """One problem for a script; the fields are documented in docs/diagnostics/README.md."""
    where = diagnostic.position
    return {
        "id": diagnostic.id,
        "severity": diagnostic.severity.value,
        "summary": SUMMARIES[diagnostic.id],
        "message": diagnostic.message,
        "file": where.file,
        "line": where.line,
        "column": where.column,
        "width": where.width,
        "end_line": where.end_line or where.line,
        "source_line": diagnostic.source_line,
        "fix": diagnostic.fix,
        "page": page_of(diagnostic.id),
    }


def as_github(diagnostic: Diagnostic) -> str:
    """One problem as a workflow command: GitHub shows it beside the line.

    https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    where = diagnostic.position
    properties = {
        "file": where.file,
        "line": where.line,
        "endLine": where.end_line or where.line,
        "col": where.column,
        "title": diagnostic.id,
    }
    listed = ",".join(f"{key}={_escaped(str(v), ':,')}" for key, v in properties.items())
    fix = f" (fix: {diagnostic.fix})" if diagnostic.fix else ""
    return f"::{diagnostic.severity} {listed}::{_escaped(diagnostic.message + fix)}"


def _escaped(text: str, special: str = "") -> str:
    return "".join(f"%{ord(c):02X}" if c in "%\r\n" + special else c for c in text)


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    where = diagnostic.position
    return (where.file, where.line, where.column)


def _style_of(line: str) -> str:
    stripped = line.strip()
    if stripped.startswith("= fix:"):
        return "green"
    return "bold red" if stripped.strip("|^ ") == "" else "dim"
