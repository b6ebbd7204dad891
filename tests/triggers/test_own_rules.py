"""A service with rules of its own beside the shipped pack, as docs/rules.md shows it."""

import re
import subprocess
from pathlib import Path

import pytest

from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.rulefmt.test_files import read_test_file
from rollbackd.triggers.unit_tests import run_test_file
from tests.promql.oracle import promtool

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "rules" / "when-to-pull.yaml"

#: `search` has a rule of its own, at 0.20 instead of 0.15; `rag` has not.
TESTS = """
rule_files: [ours.yaml, {shipped}]
evaluation_interval: 1m
tests:
  - interval: 1s
    input_series:
      - {{series: 'delta_s{{service="search", region="eu", arm="canary"}}', values: "{search}x900"}}
      - {{series: 'delta_s{{service="rag", region="eu", arm="canary"}}', values: "0.57x900"}}
      - {{series: 'baseline:delta_s:p95{{service="search", region="eu"}}', values: "0.4x900"}}
      - {{series: 'baseline:delta_s:p95{{service="rag", region="eu"}}', values: "0.4x900"}}
    promql_expr_test:
      - expr: count by (service) (ALERTS{{alertname="QualityDrift", alertstate="firing"}})
        eval_time: 10m
        exp_samples: [{{labels: '{{service="rag"}}', value: 1}}]
      - expr: count(ALERTS{{alertname="SearchQualityDrift", alertstate="firing"}})
        eval_time: 10m
        exp_samples: [{own}]
"""


def documented() -> str:
    """The file that the page shows."""
    page = (ROOT / "docs" / "rules.md").read_text()
    (found,) = re.findall(r"```yaml\n(groups:\n  - name: search\n.*?)```", page, re.DOTALL)
    return str(found)


@pytest.mark.parametrize(("search", "own"), [("0.57", ""), ("0.65", "{labels: '{}', value: 1}")])
def test_a_rule_of_ones_own_stands_in_for_a_shipped_one(
    search: str, own: str, tmp_path: Path
) -> None:
    """The shipped rule leaves the service alone and goes on for others, here and in Prometheus."""
    (tmp_path / "ours.yaml").write_text(documented())
    tests = tmp_path / "tests.yaml"
    tests.write_text(TESTS.format(shipped=SHIPPED, search=search, own=own))
    files = [tmp_path / "ours.yaml", SHIPPED]
    read = [read_rule_file(path.read_text(), file=str(path)) for path in files]
    results = run_test_file(read_test_file(tests.read_text(), file=str(tests)), read)
    assert [result for result in results if not result.passed] == []
    subprocess.run([promtool(), "test", "rules", str(tests)], check=True, capture_output=True)
