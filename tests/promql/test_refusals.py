"""What is not supported or wrong is refused at compile, at its place."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackd.promql.calls import FUNCTIONS
from rollbackd.promql.errors import PromqlError
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.matchers import Matcher, MatchOp, compile_pattern

#: (expression, the part that the place points at, id, words of the message)
REFUSED = [
    ("", "", "promql/syntax", "empty"),
    ("a +", "+", "promql/syntax", "ends after"),
    ("a b", "b", "promql/syntax", "not expected"),
    ("1 +* 2", "*", "promql/syntax", "not expected"),
    ("(a) (b)", "(b", "promql/syntax", "not expected"),
    ("sum(rate(x[5m])", "(rate", "promql/syntax", "never closed"),
    ("a}", "}", "promql/syntax", "closes nothing"),
    ('a{b="c}', '"c}', "promql/syntax", "never closed"),
    ("a $ b", "$", "promql/syntax", "not part of the language"),
    ("x + y[5z]", "5z", "promql/syntax", "duration"),
    ("1 + nosuch(x)", "nosuch", "promql/function", "unknown function"),
    ("1 + rate(x)", "rate", "promql/type", "expected type matrix"),
    ("x + y[9223372036854775808]", "9223", "promql/size", "at most 1000000000000 seconds"),
    ("x + y offset 999999999y", "999999999y", "promql/size", "is not a time"),
    ("x + y offset -1e13", "1e13", "promql/size", "is not a time"),
    ("x + y offset -Inf", "Inf", "promql/size", "is not a time"),
    ("x + y @ 1e308", "1e308", "promql/size", "is not a time"),
    ("1 + ln(-1)", "ln", "promql/argument", "argument 1 has to be an instant vector"),
    ("x[5m]", "x[5m]", "promql/type", "no instant vector"),
    ('"text"', '"text"', "promql/type", "no instant vector"),
    ("rate(y[5m]) + histogram_count(x)", "histogram_count", "promql/unsupported", "not supported"),
    ("1 + limitk(2, x)", "limitk", "promql/unsupported", "not supported"),
    ('y + a{b="x" or c="y"}', "a{", "promql/unsupported", "`or` between matchers"),
    ("z + max_over_time(y[5m:1ms])", "(y", "promql/unsupported", "steps"),
    ('y + a{b=~"(a+)+"}', '"(a+)+"', "promql/regex", "repeats a repeat"),
    ('y + a{b=~"x++"}', '"x++"', "promql/regex", "not supported"),
    ('label_replace(a, "d-", "", "", "")', "label_replace", "promql/argument", "not a label name"),
    ('1 + label_replace(a, "d", "", "s", "(")', "label_replace", "promql/argument", "pattern"),
]  # fmt: skip


@pytest.mark.parametrize(("expr", "part", "id_", "words"), REFUSED)
def test_a_refusal_has_a_place_and_a_reason(expr: str, part: str, id_: str, words: str) -> None:
    """The error carries a stable id, a message and the characters that it is about."""
    with pytest.raises(PromqlError, match=re.escape(words)) as caught:
        compile_expr(expr)
    assert caught.value.id == id_
    assert expr[caught.value.start :].startswith(part)
    assert caught.value.end > caught.value.start


@pytest.mark.parametrize(
    "expr",
    [
        "(" * 100 + "a" + ")" * 100,
        "-" * 100_000 + "a",
        "+".join(["a"] * 10_000),
        "a^" * 5_000 + "a",
        "a" * 70_000,
        "a or " * 300 + "a",
    ],
)
def test_what_would_overflow_a_stack_is_refused(expr: str) -> None:
    """The native parser recurses without a bound; it never sees such an expression."""
    with pytest.raises(PromqlError) as caught:
        compile_expr(expr)
    assert caught.value.id == "promql/size"


@pytest.mark.parametrize("count", [1, 199])
def test_a_long_expression_compiles(count: int) -> None:
    """The bounds leave room for what people write."""
    compile_expr("+".join(["a"] * count))
    compile_expr("(" * 59 + "a" + ")" * 59)


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        ("a|b", "b", True),
        ("([ab]])", "a]", True),
        ("a|b", "ab", False),
        ("5..", "503", True),
        ("5..", "5030", False),
        (r"\d+", "\u0661", False),  # an Arabic digit is none in RE2
        ("(?i)api", "API", True),
        (".*", "", True),
        ("", "", True),
        ("a.b", "a\nb", False),
    ],
)
def test_patterns_are_anchored_and_mean_what_re2_means(
    pattern: str,
    value: str,
    matches: bool,  # noqa: FBT001
) -> None:
    """A pattern matches the whole value."""
    assert Matcher("l", MatchOp.RE, pattern).matches(value) is matches
    assert Matcher("l", MatchOp.NRE, pattern).matches(value) is not matches


@pytest.mark.parametrize(
    "pattern",
    [
        "(a*)*",
        "(a+b?)+",
        "((a|b)*c)*",
        "[[:alpha:]]",
        "[^[:alpha:]]",
        "[0--9]",
        "[a||b]",
        "a{,3}",
        "(",
    ],
)
def test_a_pattern_that_python_reads_otherwise_is_refused(pattern: str) -> None:
    """Nothing is matched approximately, and nothing takes forever."""
    with pytest.raises(ValueError, match=r"pattern|supported"):
        compile_pattern(pattern)


WORDS = st.sampled_from(
    [
        *sorted(FUNCTIONS), "sum", "topk", "count_values", "by", "without", "on", "ignoring",
        "group_left", "bool", "offset", "and", "or", "unless", "a", "b{c='d'}", "x[5m]", "[5m:1m]",
        "(", ")", "{", "}", "[", "]", "+", "-", "*", "/", "^", "%", "==", ">", "=~", ",", "@", "5m",
        "1", "0.5", '"s"', "NaN", "Inf", "start()", ":", "#", "\n", "'", "\\", "\u00e9",
    ]
)  # fmt: skip


@given(st.lists(WORDS, max_size=14).map(" ".join))
@settings(max_examples=1_500, deadline=None)
def test_nothing_but_a_refusal_comes_out_of_random_words(expr: str) -> None:
    """Any sequence of the language's words compiles or is refused with a place inside the text."""
    try:
        compile_expr(expr)
    except PromqlError as error:
        assert 0 <= error.start <= max(len(expr), 1)  # noqa: PT017


@given(st.text(max_size=40))
@settings(max_examples=500, deadline=None)
def test_nothing_but_a_refusal_comes_out_of_random_text(expr: str) -> None:
    """The same for any characters."""
    try:
        compile_expr(expr)
    except PromqlError as error:
        assert error.message  # noqa: PT017
