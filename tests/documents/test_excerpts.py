"""The source line with its caret, whatever is in the line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.documents.diagnostics import Diagnostic, Position, Severity
from rollbackd.documents.excerpts import MAX_COLUMNS, excerpt, printable


@pytest.mark.parametrize(
    ("line", "column", "width", "shown", "carets"),
    [
        pytest.param("a: bc", 4, 2, "a: bc", "   ^^", id="plain"),
        pytest.param("a:\tbc", 4, 2, "a:  bc", "    ^^", id="tab before"),
        pytest.param("\t\tbc", 3, 2, "        bc", "        ^^", id="tabs"),
        pytest.param("a\tb", 1, 3, "a   b", "^^^^^", id="tab inside"),
        pytest.param("服务: x", 5, 1, "服务: x", "      ^", id="wide characters"),
        pytest.param("服务: x", 1, 2, "服务: x", "^^^^", id="wide culprit"),
        pytest.param("e\u0301: x", 5, 1, "e\u0301: x", "   ^", id="combining"),
        pytest.param("\x1b[31m", 1, 1, "\N{REPLACEMENT CHARACTER}[31m", "^", id="escape"),
        pytest.param("a\u202eb", 3, 1, "a\N{REPLACEMENT CHARACTER}b", "  ^", id="right to left"),
        pytest.param("abc", 6, 1, "abc", "     ^", id="behind the end"),
        pytest.param("", 1, 1, "", "^", id="empty"),
    ],
)
def test_the_caret_stands_below_the_culprit(
    line: str, column: int, width: int, shown: str, carets: str
) -> None:
    """Columns on the screen are not characters in the file."""
    assert excerpt(line, column=column, width=width) == (shown, carets)


@pytest.mark.parametrize("column", [1, 10, 60, 150, 290, 300])
def test_a_wide_line_is_cut_around_the_caret(column: int) -> None:
    """What surrounds the culprit stays, and the cuts show."""
    line = "".join(chr(ord("a") + i % 26) for i in range(300))
    shown, carets = excerpt(line, column=column, width=5)
    at = carets.index("^")
    assert shown[at : at + len(carets.strip())] == line[column - 1 : column + 4]
    assert len(shown) == MAX_COLUMNS
    assert (shown[0] == "…") is (column > 41)
    assert (shown[-1] == "…") is (column < 220)


def test_the_carets_of_a_wide_culprit_end_with_the_line() -> None:
    """They never run on beyond what is shown."""
    shown, carets = excerpt("x" * 500, column=100, width=400)
    assert len(carets) == len(shown)


@given(
    line=st.text(max_size=400),
    column=st.integers(min_value=1, max_value=500),
    width=st.integers(min_value=1, max_value=500),
)
def test_nothing_breaks_the_excerpt(line: str, column: int, width: int) -> None:
    """Any line, any place: one line without control characters, and at least one caret."""
    shown, carets = excerpt(line, column=column, width=width)
    assert "^" in carets
    assert printable(shown) == shown


def test_a_span_over_lines_says_where_it_ends() -> None:
    """The carets show its first line."""
    where = Position("f", 3, 3, 5, end_line=7)
    text = Diagnostic("promql/type", Severity.ERROR, "no", where, "  sum (").render()
    assert text.endswith("\n    3 |   sum (\n      |   ^^^^^ ... to line 7")


def test_a_message_cannot_write_to_the_terminal() -> None:
    """A value of the file is quoted in it."""
    where = Position("f", 1, 1)
    text = Diagnostic("value/choice", Severity.ERROR, "`\x1b[2J\n`", where, fix="\x07").render()
    assert text == "f:1:1: error: `\\x1b[2J\\n` (value/choice)\n      = fix: \\x07"
