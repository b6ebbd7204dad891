"""`# rollbackd: ...` comments in rule files: what is silenced, and how often series have samples.

YAML's nodes know nothing of comments, so the lines of the file are read.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

from rollbackd.documents.catalogue import LINTS
from rollbackd.documents.diagnostics import Position, Severity
from rollbackd.documents.durations import parse_duration
from rollbackd.documents.reader import Document
from rollbackd.documents.yaml import lines_of

_COMMENT: Final = re.compile(r"(?:^|(?<=\s))#\s*rollbackd:\s*(?P<what>[^\s=]*)(?P<rest>.*)")
_DISABLE: Final = re.compile(r"=(?P<ids>[a-z/,-]+)(?:\s.*)?")
_INTERVAL: Final = re.compile(r"\s+(?P<selector>\S.*?)\s+(?P<duration>[0-9][0-9a-z]*)\s*")
_FIX: Final = "write `disable=<id>`, `file/disable=<id>` or `interval <selector> <duration>`"


@dataclass(frozen=True, slots=True)
class SampleInterval:
    """`interval <selector> 30s`: what the selector matches has a sample this often."""

    selector: str
    interval_ms: int


@dataclass(frozen=True, slots=True)
class Comments:
    """The directives of a file; `disabled` says for each line which lints are silent."""

    lines: tuple[str, ...] = ()
    disabled: Mapping[int, frozenset[str]] = field(default_factory=dict)
    disabled_in_file: frozenset[str] = frozenset()
    intervals: tuple[SampleInterval, ...] = ()

    def disabled_for(self, rule: yaml.Node) -> frozenset[str]:
        """The lints that comments on the lines of a rule, or right above it, silence."""
        start, end = rule.start_mark, rule.end_mark
        indent = start.column
        first = top = start.line + 1
        # The end of a block is the start of what comes behind it.
        behind = end.line < len(self.lines) and self.lines[end.line][: end.column].strip()
        last = max(top, min(end.line + bool(behind), len(self.lines)))
        while first > 1 and self._is_comment(first - 1, below=indent):
            first -= 1
        # A block ends where the next one begins, and what stands above that belongs to it.
        while last > top and (
            not self.lines[last - 1].strip() or self._is_comment(last, below=indent)
        ):
            last -= 1
        return frozenset[str]().union(
            *(ids for line, ids in self.disabled.items() if first <= line <= last)
        )

    def _is_comment(self, line: int, *, below: int) -> bool:
        text = self.lines[line - 1]
        indent = len(text) - len(text.lstrip())
        return text.lstrip().startswith("#") and indent < below


def read_comments(document: Document) -> Comments:
    """The directives of a document; those that are not understood are noted as warnings."""
    lines = tuple(lines_of(document.text))
    disabled: dict[int, frozenset[str]] = {}
    in_file: frozenset[str] = frozenset()
    intervals: list[SampleInterval] = []
    for number, found in _found(lines):
        where = Position(document.file, number, found.start() + 1, len(found.group().rstrip()))
        what, rest = found["what"], found["rest"]
        if what == "disable":
            disabled[number] = _silenced(document, where, rest)
        elif what == "file/disable":
            in_file |= _silenced(document, where, rest)
        elif what == "interval":
            intervals += _interval(document, where, rest)
        else:
            _refuse(document, where, f"`{what}` is no comment of rollbackd", _FIX)
    return Comments(lines, disabled, in_file, tuple(intervals))


def _found(lines: tuple[str, ...]) -> Iterator[tuple[int, re.Match[str]]]:
    for number, line in enumerate(lines, 1):
        found = _COMMENT.search(line)
        if found is not None:
            yield number, found


def _silenced(document: Document, where: Position, rest: str) -> frozenset[str]:
    match = _DISABLE.fullmatch(rest)
    ids = frozenset(match["ids"].split(",")) if match else frozenset[str]()
    if unknown := sorted(ids - LINTS) or not ids:
        named = f"`{unknown[0]}` is not a lint" if isinstance(unknown, list) else "no lint is named"
        listed = ", ".join(f"`{id_}`" for id_ in sorted(LINTS))
        _refuse(document, where, f"{named}; there are {listed}", "write `disable=<id>`")
    return ids & LINTS


def _interval(document: Document, where: Position, rest: str) -> list[SampleInterval]:
    match = _INTERVAL.fullmatch(rest)
    if match is None:
        _refuse(document, where, "an interval needs a selector and a duration", _FIX)
        return []
    try:
        return [SampleInterval(match["selector"], parse_duration(match["duration"]))]
    except ValueError as error:
        _refuse(document, where, str(error), _FIX)
        return []


def _refuse(document: Document, where: Position, message: str, fix: str) -> None:
    document.report(where, "lint/comment", message, fix=fix, severity=Severity.WARNING)
