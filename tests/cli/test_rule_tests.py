from pathlib import Path

import orjson
import pytest

from tests.cli.conftest import Run

RULES = """\
groups:
  - name: g
    rules:
      - alert: Drift
        expr: delta_s > 0.15
        labels: {branch: quality_regression}
"""

TESTS = """\
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - name: boundary
    interval: 1m
    input_series:
      - series: 'delta_s{service="rag"}'
        values: '0.1 0.2'
    alert_rule_test:
      - eval_time: 0m
        alertname: Drift
        exp_alerts: []
      - eval_time: 1m
        alertname: Drift
        exp_alerts:
          - exp_labels: {service: rag, branch: quality_regression}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "rules.yaml").write_text(RULES)
    path = tmp_path / "tests.yaml"
    path.write_text(TESTS)
    return path


def test_rules_that_do_as_their_tests_say_pass(run: Run, file: Path) -> None:
    """One line a file, and each case on request."""
    result = run("test", str(file))
    assert result.exit_code == 0, result.output
    assert result.stdout == f"ok     {file}\n1 file, 2 cases, 0 failed\n"
    assert "passed  boundary: Drift at 1m" in run("test", "-v", str(file)).stdout


def test_a_failing_case_shows_expected_against_got(run: Run, file: Path) -> None:
    """As a difference, with the place of the case."""
    file.write_text(TESTS.replace("{service: rag,", "{service: other,"))
    result = run("test", str(file))
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == f"FAILED {file}"
    assert lines[1].startswith(f"  {file}:13:")
    assert lines[1].endswith("boundary: Drift at 1m")
    assert lines[2].startswith("      - ")
    assert 'service="other"' in lines[2]
    assert lines[3].startswith("      + ")
    assert 'service="rag"' in lines[3]
    assert lines[4] == "1 file, 2 cases, 1 failed"


def test_a_script_gets_every_case(run: Run, file: Path) -> None:
    """Passed or not."""
    answer = orjson.loads(run("test", str(file), "--output", "json").stdout)
    assert answer["ok"] is True
    assert [case["passed"] for case in answer["files"][0]["cases"]] == [True, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule_files: [none.yaml]\ntests: []\n", "no rule file matches `none.yaml`"),
        (TESTS.replace("0.1 0.2", "0.1 zero"), "zero"),
        (TESTS.replace("eval_time: 1m", "eval_time: soon"), "soon"),
        (TESTS.replace("alertname: Drift", "alrtname: Drift", 1), "alrtname"),
        ("", "empty"),
    ],
)
def test_a_malformed_test_file_is_told_with_its_position(
    run: Run, file: Path, text: str, said: str
) -> None:
    """And counts as failed."""
    file.write_text(text)
    result = run("test", str(file))
    assert result.exit_code == 1
    assert said in result.stderr
    assert f"{file}:" in result.stderr
    assert orjson.loads(run("test", str(file), "-o", "json").stdout)["ok"] is False


def test_bad_rules_fail_their_tests(run: Run, file: Path) -> None:
    """With the place in the rule file."""
    (file.parent / "rules.yaml").write_text(RULES.replace("delta_s >", "delta_s >>"))
    result = run("test", str(file))
    assert result.exit_code == 1
    assert f"{file.parent}/rules.yaml:5:" in result.stderr


def test_a_test_file_that_is_not_there_is_told(run: Run, tmp_path: Path) -> None:
    """No traceback."""
    result = run("test", str(tmp_path / "none.yaml"))
    assert result.exit_code == 1
    assert "cannot read the file" in result.stderr


def test_the_shipped_tests_pass(run: Run) -> None:
    """What is shipped is proven."""
    files = sorted((Path(__file__).parents[2] / "rules" / "tests").glob("*.y*ml"))
    assert len(files) >= 6
    result = run("test", *map(str, files))
    assert result.exit_code == 0, result.output
