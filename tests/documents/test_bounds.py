"""Bounds are said as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.documents.bounds import EXACT, Bounds

NUMBERS = st.one_of(st.integers(-100, 100), st.floats(-100, 100))


@pytest.mark.parametrize(
    ("bounds", "value", "message", "fix"),
    [
        (Bounds(1, 9), 0, "below the minimum `1`", "use a number from `1` to `9`"),
        (Bounds(1, EXACT), 0, "below the minimum `1`", "use `1` or more"),
        (Bounds(1, EXACT), EXACT + 1, f"above the maximum `{EXACT}`", "use `1` or more"),
        (Bounds(most=9), 10, "above the maximum `9`", "use `9` or less"),
        (Bounds(above=0), 0, "not above `0`", "use a number above `0`"),
        (Bounds(above=0, most=1), 2, "above the maximum `1`", "above `0` and at most `1`"),
    ],
)
def test_a_number_outside_is_told_with_what_is_allowed(
    bounds: Bounds, value: float, message: str, fix: str
) -> None:
    found = bounds.objection(value, "as written")
    assert found is not None
    assert message in found.message
    assert "`as written`" in found.message
    assert found.fix.endswith(fix)


@given(
    value=NUMBERS,
    least=st.none() | NUMBERS,
    most=st.none() | NUMBERS,
    above=st.none() | NUMBERS,
)
def test_there_is_an_objection_exactly_outside(
    value: float, least: float | None, most: float | None, above: float | None
) -> None:
    inside = (
        (least is None or value >= least)
        and (most is None or value <= most)
        and (above is None or value > above)
    )
    assert (Bounds(least, most, above).objection(value, "x") is None) is inside
