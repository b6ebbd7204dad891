"""A value and its bound are told apart by their texts exactly where they differ."""

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rollbackd.documents.numbers import exact, side_by_side, told_apart

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
#: A number and one that is next to it, some steps away.
CLOSE = st.tuples(NUMBERS, st.integers(0, 1_000)).map(lambda p: (p[0], _up(*p)))
PAIRS = st.tuples(NUMBERS, NUMBERS) | CLOSE


def _up(number: float, steps: int) -> float:
    return number + steps * math.ulp(number)


def order(left: float, right: float) -> int:
    return (left > right) - (left < right)


@pytest.mark.parametrize(
    ("value", "bound", "text"),
    [
        (0.150412, 0.15, "0.1504"),
        (0.1500412, 0.15, "0.15004"),
        (0.1499996, 0.15, "0.1499996"),
        (0.15, 0.15, "0.15"),
        (0.25, 0.15, "0.25"),
        (1234.4, 1234.0, "1234.4"),
        (123456.0, 123456.0, "123456"),
        (math.nan, 0.15, "nan"),
        (math.inf, 0.15, "inf"),
    ],
)
def test_a_value_has_the_digits_that_it_needs(value: float, bound: float, text: str) -> None:
    assert told_apart(value, bound) == text


@given(PAIRS)
@example((0.1500001, 0.15))
def test_a_value_is_shown_on_its_side_of_the_bound(pair: tuple[float, float]) -> None:
    """What is read is compared as what was measured."""
    value, bound = pair
    assume(math.isfinite(value))
    shown = told_apart(value, bound)
    assert float(exact(bound)) == bound
    assert order(float(shown), float(exact(bound))) == order(value, bound)
    plain = f"{value:.4g}"
    assert (shown == plain) is (order(float(plain), bound) == order(value, bound))


@given(PAIRS)
def test_two_values_are_shown_in_their_order(pair: tuple[float, float]) -> None:
    left, right = pair
    assume(math.isfinite(left) and math.isfinite(right))
    texts = side_by_side(left, right)
    assert order(*map(float, texts)) == order(left, right)
    assert texts[0] != texts[1] or left == right


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.15, "0.15"), (1234567.0, "1234567"), (1e6, "1e+06"), (0.1 + 0.2, "0.30000000000000004")],
)
def test_a_bound_is_shown_whole(number: float, text: str) -> None:
    assert exact(number) == text
