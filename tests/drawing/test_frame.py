"""Where things lie in a plot."""

import re

from hypothesis import given
from hypothesis import strategies as st

from rollbackd.drawing.axes import TimeScale
from rollbackd.drawing.frame import Frame, Staff, rows_of

_FROM, _TO = 0, 100_000


def staff(at_ms: int, words: str = "trigger") -> Staff:
    return Staff(at_ms=at_ms, words=words, title=words, kind="mark")


def frame(*values: float) -> Frame:
    return Frame.around(_FROM, _TO, list(values))


def test_a_line_breaks_where_there_is_no_value() -> None:
    """A lone point is still seen."""
    drawn = frame(0.0, 1.0).line([0, 10, 20, 30, 40], [0.0, 1.0, None, float("nan"), 1.0], 1)
    (path,) = re.findall(r' d="([^"]*)"', drawn)
    assert path.count("M") == 2
    assert path.count("L") == 1
    assert path.count("h0.1") == 2


def test_the_bad_side_lies_beyond_the_bound() -> None:
    """Above it, or below it."""
    plot = frame(0.0, 1.0)
    above, below = plot.breach(0.5, above=True), plot.breach(0.5, above=False)
    assert f'y="{plot.top:.1f}"' in above
    assert f'y="{plot.y.y(0.5):.1f}"' in below


def test_words_that_would_lie_on_each_other_get_rows_of_their_own() -> None:
    """Those that are far apart share the lowest."""
    x = TimeScale(_FROM, _TO, 64.0)
    assert rows_of([staff(0), staff(10), staff(50_000)], x) == [0, 1, 0]
    assert rows_of([], x) == []


@given(st.lists(st.integers(_FROM, _TO), max_size=12).map(sorted))
def test_no_two_words_of_a_row_overlap(times: list[int]) -> None:
    """Wherever the moments lie, also at the right edge, where words stand to the left."""
    plot = frame(0.0, 1.0)
    staffs = [staff(time) for time in times]
    spans: dict[int, list[tuple[float, float]]] = {}
    for each, row in zip(staffs, rows_of(staffs, plot.x), strict=True):
        drawn = plot.staff(each, row=row)
        (start,) = re.findall(r'<text x="([^"]*)"', drawn)
        width = 6.6 * len(each.words)
        left = float(start) - (width if 'text-anchor="end"' in drawn else 0)
        assert all(left >= end or left + width <= begin for begin, end in spans.get(row, []))
        spans.setdefault(row, []).append((left, left + width))


def test_what_a_moment_says_is_escaped() -> None:
    """As everything in a drawing."""
    drawn = frame(0.0, 1.0).staff(staff(10, "<b>"))
    assert "<b>" not in drawn
    assert "&lt;b&gt;" in drawn
