"""Diagnostics on a terminal: as `Diagnostic.render` writes them, in colour."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from rollbackd.documents.diagnostics import Diagnostic, Severity

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}


def print_diagnostics(console: Console, diagnostics: Iterable[Diagnostic]) -> None:
    """Print every problem, in the order of files and lines."""
    for diagnostic in sorted(diagnostics, key=_place):
        console.print(coloured(diagnostic), soft_wrap=True)


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
    """One problem for a script."""
    return {
        "id": diagnostic.id,
        "severity": diagnostic.severity.value,
        "message": diagnostic.message,
        "file": diagnostic.position.file,
        "line": diagnostic.position.line,
        "column": diagnostic.position.column,
        "fix": diagnostic.fix,
    }


def _place(diagnostic: Diagnostic) -> tuple[str, int, int]:
    where = diagnostic.position
    return (where.file, where.line, where.column)


def _style_of(line: str) -> str:
    stripped = line.strip()
    if stripped.startswith("= fix:"):
        return "green"
    return "bold red" if stripped.strip("|^ ") == "" else "dim"
