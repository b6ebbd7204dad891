"""`promtool test rules` and this runner agree, on what passes and on what fails."""

import subprocess
from pathlib import Path

import pytest

from rollbackd.rulefmt.rule_files import Rule, RuleFile, read_rule_file
from rollbackd.rulefmt.test_files import read_test_file
from rollbackd.triggers.unit_tests import CaseResult, run_test_file
from tests.promql.oracle import promtool

SHIPPED = Path(__file__).parents[2] / "rules"
TEST_FILES = sorted((SHIPPED / "tests").glob("*.yaml"))


def run(path: Path) -> list[CaseResult]:
    """Our results for a test file on disk."""
    tests = read_test_file(path.read_text(), file=str(path))
    return run_test_file(tests, [_rules(path.parent / name) for name in tests.rule_files])


def _rules(path: Path) -> RuleFile:
    return read_rule_file(path.read_text(), file=str(path))


def promtool_passes(path: Path) -> bool:
    """Prometheus's verdict on a test file."""
    done = subprocess.run(
        [promtool(), "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    return done.returncode == 0


ALERTS = [
    rule
    for name in ("when-to-pull", "soft-warnings")
    for group in _rules(SHIPPED / f"{name}.yaml").groups
    for rule in group.rules
]
EXPECTED = [
    expected
    for path in TEST_FILES
    for test in read_test_file(path.read_text(), file=str(path)).tests
    for expected in test.alert_tests
]


def test_promtool_accepts_the_shipped_rules() -> None:
    """Every rule file in `rules/` is a Prometheus rule file."""
    files = [str(p) for p in SHIPPED.glob("*.yaml") if p.stem != "decision-tree"]
    done = subprocess.run(
        [promtool(), "check", "rules", *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda p: p.stem)
def test_both_pass_every_shipped_test(path: Path) -> None:
    """The shipped rules do what their tests say, in Prometheus and here."""
    assert promtool_passes(path)
    assert [r for r in run(path) if not r.passed] == []


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_every_rule_has_tests_in_which_it_fires_and_in_which_it_does_not(rule: Rule) -> None:
    """Each alert of the shipped files is expected by some test, and by some other not to fire."""
    about = [test.expected for test in EXPECTED if test.alertname == rule.name]
    assert any(about)
    assert not all(about)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_a_rule_leaves_a_service_alone_that_has_its_own(rule: Rule) -> None:
    """Each alert but those that pages and silence raise names itself in `rollbackd:replaced`."""
    own = f'unless on (service) rollbackd:replaced{{rule="{rule.name}"}}'
    by_itself = rule.name.startswith("Paged") or rule.name == "NoRequests"
    assert rule.expr.value.count(own) == (not by_itself)


RULES = """
groups:
  - name: second
    rules:
      - alert: High
        expr: job:x:sum > 5
        for: 2m
        keep_firing_for: 3m
        labels: {team: "{{ $labels.job }}-{{ $externalLabels.cluster }}"}
        annotations: {text: "is {{ $value }} for {{ $labels.job }}"}
      - alert: Gone
        expr: absent(x)
  - name: first
    rules:
      - record: job:x:sum
        expr: sum by (job) (x)
"""

TESTS = """
rule_files: [rules.yaml]
evaluation_interval: 1m
group_eval_order: [first, second]
tests:
  - name: a life
    interval: 30s
    external_labels: {cluster: c}
    input_series:
      - {series: 'x{job="a", i="1"}', values: "1x5 4x8 0x20 stale"}
      - {series: 'x{job="a", i="2"}', values: "2x40"}
      - {series: 'x{job="b", i="1"}', values: "_x4 9x10 _x30"}
    alert_rule_test:
%s
    promql_expr_test:
%s
"""


def _file(folder: Path, alerts: list[str], exprs: list[str]) -> Path:
    (folder / "rules.yaml").write_text(RULES)
    path = folder / "tests.yaml"
    path.write_text(TESTS % ("\n".join(alerts) or "      []", "\n".join(exprs) or "      []"))
    return path


@pytest.mark.parametrize("minute", range(0, 18, 2))
@pytest.mark.parametrize("jobs", ["", "a", "b", "ab"])
def test_both_give_the_same_verdict_on_an_alert(tmp_path: Path, minute: int, jobs: str) -> None:
    """Whatever is expected at whatever time, both pass or both fail."""
    expected = [
        f"{{exp_labels: {{job: {job}, team: {job}-c}}, "
        f"exp_annotations: {{text: 'is {6 if job == 'a' else 9} for {job}'}}}}"
        for job in jobs
    ]
    test = f"      - {{eval_time: {minute}m, alertname: High, exp_alerts: [{', '.join(expected)}]}}"
    path = _file(tmp_path, [test], [])
    (result,) = run(path)
    assert result.passed == promtool_passes(path), result


@pytest.mark.parametrize(
    ("expr", "value"),
    [
        ("job:x:sum{job='a'}", "6"),
        ("job:x:sum{job='a'}", "7"),
        ("count(ALERTS{alertstate='pending'})", "2"),
        ("count(ALERTS{alertstate='firing'})", "1"),
        ("sum(ALERTS_FOR_STATE)", "480"),
        ("count_over_time(x{job='b'}[3m])", "5"),
        ("x + on (job) x", "1"),
        ("x offset -2m > 3", "4"),
        ("nosuch(x)", "1"),
    ],
)
@pytest.mark.parametrize("time", ["4m", "5m", "5m30s"])
def test_both_give_the_same_verdict_on_an_expression(
    tmp_path: Path, expr: str, value: str, time: str
) -> None:
    """Values, errors and series that rules made."""
    sample = f"{{labels: 'ignored', value: {value}}}"
    if "sum" in expr or "count(" in expr:
        labels = 'job:x:sum{job="a"}' if expr.startswith("job:") else "{}"
        sample = f"{{labels: '{labels}', value: {value}}}"
    test = f'      - {{expr: "{expr}", eval_time: {time}, exp_samples: [{sample}]}}'
    path = _file(tmp_path, [], [test])
    (result,) = run(path)
    assert result.passed == promtool_passes(path), result


def test_a_failure_shows_both_sides(tmp_path: Path) -> None:
    """What was expected, what came, and where the expectation stands."""
    alert = "      - {eval_time: 1m, alertname: Gone, exp_alerts: [{exp_labels: {a: b}}]}"
    (result,) = run(_file(tmp_path, [alert], []))
    assert not result.passed
    assert result.name == "a life: Gone at 1m"
    assert result.expected == '{a="b", alertname="Gone"} {}'
    assert result.got == "nothing"
    assert result.position.line == 14


def test_a_failing_rule_fails_the_test(tmp_path: Path) -> None:
    """An evaluation error is a result of its own, as in promtool."""
    (tmp_path / "rules.yaml").write_text("groups: [{name: g, rules: [{record: r, expr: x * y}]}]")
    path = tmp_path / "tests.yaml"
    path.write_text(
        "rule_files: [rules.yaml]\n"
        "tests:\n"
        "- input_series:\n"
        "  - {series: 'x{a=\"b\"}', values: 1}\n"
        "  - {series: 'y{a=\"b\"}', values: 1}\n"
        "  - {series: 'z{a=\"b\"}', values: 1}\n"
        "  promql_expr_test:\n"
        "  - {expr: r, eval_time: 0s, exp_samples: [{labels: 'r{a=\"b\"}', value: 1}]}\n"
    )
    assert [r.passed for r in run(path)] == [promtool_passes(path)] == [True]
    (tmp_path / "rules.yaml").write_text(
        "groups: [{name: g, rules: [{record: r, expr: '{__name__=~\"x|y\"} * 1'}]}]"
    )
    (result,) = run(path)
    assert (result.passed, promtool_passes(path)) == (False, False)
    assert "same labelset" in result.got
