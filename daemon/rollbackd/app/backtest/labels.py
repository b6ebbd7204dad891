"""Labelled incidents: what people say really happened.

- scope: rag/eu
  branch: quality_regression        # optional: any branch will do
  start: 2026-11-20T20:05:00Z       # or Unix seconds
  end: 2026-11-20T20:20:00Z
  note: bad prompt pack             # optional
"""

from collections.abc import Collection, Iterable

import msgspec

from rollbackd.app.backtest.times import parse_time
from rollbackd.documents.reader import Document, Fields, Reader
from rollbackd.documents.yaml import compose
from rollbackd.model.labels import Scope

_KNOWN = ("scope", "branch", "start", "end", "note")
_REQUIRED = ("scope", "start", "end")


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """One incident that really happened; an empty `branch` is any."""

    scope: str
    branch: str = ""
    start_ms: int
    end_ms: int
    note: str = ""


def read_labels(text: str, *, file: str, branches: Collection[str]) -> list[Label]:
    """Read and check a file of labels; `branches` are those of the decision tree.

    Raises DocumentError with every problem.
    """
    document = Document(file, text)
    root = compose(text, file=file)
    labels = [] if root is None else list(_labels(Reader(document, root), branches))
    document.raise_errors()
    return sorted(labels, key=lambda label: (label.start_ms, label.scope))


def _labels(root: Reader, branches: Collection[str]) -> Iterable[Label]:
    for item in root.items():
        f = item.fields(_KNOWN, required=_REQUIRED)
        start_ms, end_ms = _time(f, "start"), _time(f, "end")
        if end_ms < start_ms and f.get("end") is not None:
            item.problem("value/range", "the incident ends before it starts")
        yield Label(
            scope=f.read("scope", _scope, ""),
            branch=f.read("branch", lambda r: r.choice(sorted(branches)), ""),
            start_ms=start_ms,
            end_ms=end_ms,
            note=f.read("note", Reader.text_of_scalar, ""),
        )


def _scope(reader: Reader) -> str:
    try:
        return str(Scope.parse(reader.text_of_scalar()))
    except ValueError as error:
        reader.problem("value/type", f"{error}; write it like `rag/eu`")
        return ""


def _time(f: Fields, key: str) -> int:
    reader = f.get(key)
    if reader is None:
        return 0
    try:
        return parse_time(reader.text_of_scalar())
    except ValueError as error:
        reader.problem("value/type", str(error))
        return 0
