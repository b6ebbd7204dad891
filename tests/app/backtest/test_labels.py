"""The file of labelled incidents."""

import pytest

from rollbackd.app.backtest.labels import Label, read_labels
from rollbackd.app.backtest.times import parse_time
from rollbackd.documents.diagnostics import DocumentError

GOOD = """
- scope: rag
  start: 1795204800.5
  end: 2026-11-20T21:30:00+01:00
- {scope: rag/eu, branch: q, start: 2026-11-20T19:00:00Z, end: 2026-11-20T19:00:00Z, note: 7}
"""


def test_labels_are_read_in_the_order_of_time() -> None:
    """RFC 3339 with any zone, or Unix seconds; a scope without a region is `global`."""
    assert read_labels(GOOD, file="l", branches=["q"]) == [
        Label(scope="rag/eu", branch="q", start_ms=1_795_201_200_000, end_ms=1_795_201_200_000,
              note="7"),
        Label(scope="rag/global", start_ms=1_795_204_800_500, end_ms=1_795_206_600_000),
    ]  # fmt: skip


def test_an_empty_file_says_that_nothing_happened() -> None:
    """Then every call is false."""
    assert read_labels("", file="l", branches=["q"]) == []
    assert read_labels("[]", file="l", branches=["q"]) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {scope: rag, start: 2}", "`end` is missing"),
        ("- {scope: rag, start: 2, end: 1}", "the incident ends before it starts"),
        ("- {scope: rag, start: 1, end: yesterday}", "`yesterday` is not a time"),
        ("- {scope: rag, start: 1, end: 2026-01-01T00:00:00}", "has no time zone"),
        ("- {scope: rag, start: 1, end: 1795204800000}", "Unix times are in seconds"),
        ("- {scope: 'a b', start: 1, end: 2}", "is not a scope name"),
        ("- {scope: rag, branch: r, start: 1, end: 2}", "must be one of `q`"),
        ("- {scope: rag, start: 1, end: 2, why: x}", "key `why` is not known here"),
        ("scope: rag", "expected a list"),
        ("- *a", "alias"),
    ],
)
def test_every_mistake_has_its_place(text: str, said: str) -> None:
    """Like every document."""
    with pytest.raises(DocumentError) as caught:
        read_labels(text, file="labels.yaml", branches=["q"])
    shown = "\n".join(d.render() for d in caught.value.diagnostics)
    assert said in shown
    assert "labels.yaml:1:" in shown


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "", "tomorrow", "2026-13-01T00:00:00Z"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """With how to write it."""
    with pytest.raises(ValueError, match="is not a time"):
        parse_time(text)
