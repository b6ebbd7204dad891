"""The parts of an expression, each with its place in the text."""

import pytest

from rollbackd.promql.errors import PromqlError
from rollbackd.promql.outline import Form, Sides, outline
from tests.promql.corpus import expressions

TEXT = (
    'sum by (a) (rate(x{b="c"}[5m])) '
    "/ on (z) group_left (q) avg_over_time((y > 1)[5m:30s] offset 1m)"
)


def test_parts_stand_where_the_text_has_them() -> None:
    """In the order of the text, with windows, labels and sides."""
    parts = list(outline(TEXT).walk())
    assert [(p.form, TEXT[p.start : p.end]) for p in parts] == [
        (Form.BINARY, "/"),
        (Form.AGGREGATION, "sum"),
        (Form.CALL, "rate"),
        (Form.RANGE, 'x{b="c"}[5m]'),
        (Form.CALL, "avg_over_time"),
        (Form.SUBQUERY, "[5m:30s]"),
        (Form.BINARY, ">"),
        (Form.INSTANT, "y"),
        (Form.CONSTANT, "1"),
    ]
    quotient, total, _, window, _, subquery, *_ = parts
    assert (quotient.sides, quotient.labels, quotient.included) == (Sides.LEFT, ("z",), ("q",))
    assert (total.labels, total.leaves_out) == (("a",), False)
    assert (window.window_ms, str(window.selector)) == (300_000, 'x{b="c"}')
    assert (subquery.window_ms, subquery.step_ms, bool(subquery.when)) == (300_000, 30_000, True)


@pytest.mark.parametrize("text", sorted(set(expressions())))
def test_everything_that_compiles_has_an_outline(text: str) -> None:
    """And every part of it a place inside the text."""
    for part in outline(text).walk():
        assert 0 <= part.start < part.end <= len(text)


def test_what_does_not_compile_has_none() -> None:
    """The error is the compiler's."""
    with pytest.raises(PromqlError):
        outline("x >")
