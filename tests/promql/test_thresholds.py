"""What of an expression is drawn."""

from pathlib import Path

import pytest

from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.thresholds import drawn
from rollbackd.rulefmt.rule_files import RuleKind, read_rule_file
from rollbackd.settings import shipped_rules


@pytest.mark.parametrize(
    ("expr", "left", "symbol", "threshold"),
    [
        ("a > 1", "a", ">", 1),
        ("(a) <= -0.5", "a", "<=", -0.5),
        ("1 < a", "a", ">", 1),
        ("2 >= a", "a", "<=", 2),
        ("a != 0", "a", "!=", 0),
        ("a > 14.4 * 0.001", "a", ">", 14.4 * 0.001),
        ("(a > 1) and b > 2", "a", ">", 1),
        ("a > 1 and on (x) b unless c", "a", ">", 1),
        ('rate(a{b="x  y"}[5m]) > 1', 'rate(a{b="x  y"}[5m])', ">", 1),
        ("avg_over_time(a[5m] offset 1m) > 1", "avg_over_time(a[5m] offset 1m)", ">", 1),
        ("a > bool 1", "a > bool 1", "", None),
        ("a > b", "a > b", "", None),
        ("a > 1 or b > 2", "a > 1 or b > 2", "", None),
        ("a > time()", "a > time()", "", None),
        ("absent(a)", "absent(a)", "", None),
        ("1 > bool 2", "1 > bool 2", "", None),
    ],
)
def test_a_comparison_with_a_number_gives_a_line_and_a_threshold(
    expr: str, left: str, symbol: str, threshold: float | None
) -> None:
    """Anything else is drawn as the rule's own value."""
    found = drawn(expr)
    assert (found.expr, found.symbol, found.threshold) == (left, symbol, threshold)


def test_every_shipped_rule_gives_something_that_compiles() -> None:
    """On one line each."""
    text = (shipped_rules() / "when-to-pull.yaml").read_text()
    for group in read_rule_file(text, file="r").groups:
        for rule in group.rules:
            if rule.kind is RuleKind.ALERT:
                found = drawn(rule.expr.value)
                compile_expr(found.expr)
                assert "\n" not in found.expr or found.threshold is None


def test_the_pack_is_where_it_is_looked_for() -> None:
    """Or the test above would say nothing."""
    assert Path(shipped_rules() / "when-to-pull.yaml").is_file()
