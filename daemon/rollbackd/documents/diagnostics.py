"""What is wrong with a document, where, and the way out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rollbackd.documents.catalogue import DiagnosticId
from rollbackd.documents.excerpts import excerpt, printable


class Severity(StrEnum):
    """How bad a problem is."""

    #: The document is refused.
    ERROR = "error"
    #: The document is accepted, and somebody should look.
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Position:
    """A span in a file; lines and columns count from 1, as editors show them.

    `width` is that on the first line; a span that goes on below it names its `end_line`.
    """

    file: str
    line: int
    column: int
    width: int = 1
    end_line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def shifted(self, columns: int, width: int = 1) -> "Position":
        """The span that starts `columns` to the right on the same line."""
        return Position(self.file, self.line, self.column + columns, width)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem: a stable id, where it is, what is wrong and how to mend it.

    `message` is lower case, names the offending value in backticks and what is allowed;
    `fix` is one imperative sentence, or empty when the message says it all.
    """

    id: DiagnosticId
    severity: Severity
    message: str
    position: Position
    source_line: str = ""
    fix: str = ""

    def render(self) -> str:
        """The problem as a person reads it: place, source line, caret, fix."""
        where = self.position
        lines = [self.headline()]
        if self.source_line:
            shown, carets = excerpt(self.source_line, column=where.column, width=where.width)
            onwards = f" ... to line {where.end_line}" if where.end_line else ""
            lines.append(f"{where.line:>5} | {shown}")
            lines.append(f"      | {carets}{onwards}")
        if self.fix:
            lines.append(f"      = fix: {printable(self.fix)}")
        return "\n".join(lines)

    def headline(self) -> str:
        """The problem on one line: place, severity, message, id."""
        return printable(f"{self.position}: {self.severity}: {self.message} ({self.id})")


class DocumentError(Exception):
    """A document that cannot be used; carries every diagnostic that was found."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(d.render() for d in self.diagnostics))


def errors_in(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Those that refuse the document."""
    return [d for d in diagnostics if d.severity is Severity.ERROR]
