"""Text of a document that knows where each of its characters stands."""

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

import yaml

from rollbackd.documents.catalogue import DiagnosticId
from rollbackd.documents.diagnostics import Diagnostic, Position, Severity
from rollbackd.documents.reader import Document
from rollbackd.documents.yaml import source_line

#: The length of a double-quoted escape after its backslash, when it is not one character.
_ESCAPES = {"x": 2, "u": 4, "U": 8}


@dataclass(frozen=True, slots=True)
class SourceText:
    """A scalar's value and, for each of its characters, the offset in the file."""

    value: str
    file: str
    document: str
    offsets: tuple[int, ...]
    line_starts: tuple[int, ...]

    def __str__(self) -> str:
        return self.value

    def position(self, start: int = 0, end: int | None = None) -> Position:
        """Where characters `start` to `end` of the value stand; the width ends with the line."""
        if not self.offsets:
            return Position(self.file, 1, 1)
        last = len(self.offsets) - 1
        first_at = self.offsets[max(0, min(start, last))]
        stop = last + 1 if end is None else end
        final_at = self.offsets[max(0, min(stop - 1, last))]
        line = bisect_right(self.line_starts, first_at)
        line_start = self.line_starts[line - 1]
        line_end = line_start + len(source_line(self.document, line))
        width = min(final_at + 1, max(line_end, first_at + 1)) - first_at
        last_line = bisect_right(self.line_starts, final_at)
        return Position(
            self.file,
            line,
            first_at - line_start + 1,
            max(1, width),
            end_line=last_line if last_line > line else None,
        )

    def diagnostic(
        self,
        id_: DiagnosticId,
        message: str,
        start: int = 0,
        end: int | None = None,
        fix: str = "",
        *,
        severity: Severity = Severity.ERROR,
    ) -> Diagnostic:
        """A problem with a part of the text."""
        where = self.position(start, end)
        line = source_line(self.document, where.line)
        return Diagnostic(id_, severity, message, where, line, fix)


def locate(document: Document, node: yaml.Node) -> SourceText:
    """The text of a scalar node with its places; a node that is no scalar gives an empty text."""
    text = document.text
    value = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
    start, end = node.start_mark.index, node.end_mark.index
    style = node.style if isinstance(node, yaml.ScalarNode) else None
    if style == '"':
        offsets = _double_quoted(text, start + 1, len(value))
    elif style in {"|", ">"}:
        body = text.find("\n", start) + 1
        offsets = _aligned(text, body, end, value)
    else:
        offsets = _aligned(text, start + (style == "'"), end, value, quoted=style == "'")
    return SourceText(value, document.file, text, tuple(offsets), _line_starts(text))


@lru_cache(maxsize=8)
def _line_starts(text: str) -> tuple[int, ...]:
    return (0, *(i + 1 for i, c in enumerate(text) if c == "\n"))


def _aligned(text: str, start: int, end: int, value: str, *, quoted: bool = False) -> list[int]:
    """Folding changes white space only, so the other characters pair off in order."""
    offsets: list[int] = []
    at = start
    for character in value:
        if character.isspace():
            offsets.append(min(at, max(start, end - 1)))
            if at < end and text[at].isspace():
                at += 1
            continue
        while at < end and text[at] != character:
            at += 1
        offsets.append(min(at, len(text) - 1))
        at += 2 if quoted and character == "'" else 1
    return offsets


def _double_quoted(text: str, start: int, length: int) -> list[int]:
    offsets: list[int] = []
    at = start
    while len(offsets) < length and at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            if text[at + 1] in "\r\n":
                at = _skip_fold(text, at + 1)
                continue
            offsets.append(at)
            at += 2 + _ESCAPES.get(text[at + 1], 0)
        elif text[at] == "\n":
            offsets.append(at)
            at = _skip_fold(text, at)
        else:
            offsets.append(at)
            at += 1
    offsets.extend([min(at, max(0, len(text) - 1))] * (length - len(offsets)))
    return offsets


def _skip_fold(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
