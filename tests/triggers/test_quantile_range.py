"""`lint/quantile-range`: a quantile that is no share of the samples."""

import pytest

from rollbackd.model.events import Sample
from rollbackd.model.labels import labels_of
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.triggers.engine import Engine
from rollbackd.triggers.lints import LintOptions, lint_rules
from tests.triggers.test_lints import found, record


def sample(name: str, value: float, at_ms: int, **labels: str) -> Sample:
    return Sample(labels_of({"__name__": name, **labels}), value, at_ms)


@pytest.mark.parametrize(
    ("expr", "number", "gives"),
    [
        ("quantile_over_time(95, x[5m])", "95", "+Inf"),
        ("histogram_quantile(1.01, sum by (le) (rate(x_bucket[5m])))", "1.01", "+Inf"),
        ("quantile by (service) (-0.5, x)", "0.5", "-Inf"),
        ("QUANTILE(Inf, x)", "Inf", "+Inf"),
        ("sum(quantile_over_time(NaN, x[5m]))", "NaN", "NaN"),
    ],
)
def test_a_quantile_that_is_no_share(expr: str, number: str, gives: str) -> None:
    """The caret shows the number, and the engine gives what is said, as Prometheus does."""
    assert found(record("r", expr)) == [f"lint/quantile-range at {number}"]
    file = read_rule_file("groups:\n  - name: g\n    rules:\n" + record("r", expr), file="f")
    (warning,) = lint_rules([file], LintOptions())
    assert f" gives {gives} whatever" in warning.message
    engine = Engine.build([file])
    for at_ms in range(0, 240_000, 60_000):
        engine.ingest([sample("x", 1.0, at_ms), sample("x_bucket", at_ms, at_ms, le="+Inf")], at_ms)
        engine.ingest([sample("x_bucket", at_ms, at_ms, le="1")], at_ms)
    values = [value for _, value in engine.query(engine.compile(expr), 240_000)]
    assert values == pytest.approx([float(gives)], nan_ok=True)


@pytest.mark.parametrize(
    "expr",
    [
        "quantile_over_time(0, x[5m])",
        "quantile(1, x)",
        "quantile_over_time(0.95, x[5m])",
        "quantile_over_time(scalar(x), x[5m])",
        "quantile_over_time(1 / 2, x[5m])",
        "topk(95, x)",
        "quantile > 95",
    ],
)
def test_a_quantile_that_is_a_share_or_not_known(expr: str) -> None:
    """In doubt nothing is said."""
    assert found(record("r", expr)) == []


def test_a_percentage_is_shown_as_a_share() -> None:
    """What is none of 100 has no such reading."""

    def fix(quantile: str) -> str:
        text = "groups:\n  - name: g\n    rules:\n"
        text += record("r", f"quantile_over_time({quantile}, x[5m])")
        return lint_rules([read_rule_file(text, file="f")], LintOptions())[0].fix

    assert fix("99.9").endswith("`0.999`")
    assert "from `0`" in fix("250")
    assert "from `0`" in fix("-1")
