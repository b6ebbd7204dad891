"""The shipped rules and exit targets aggregate over `instance`, which tells processes apart."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from rollbackd.model.events import Sample
from rollbackd.model.labels import METRIC_NAME, Labels, labels_of
from rollbackd.promql.expressions import compile_expr
from rollbackd.promql.store import Store
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.rulefmt.test_files import InputSeries, read_test_file
from rollbackd.triggers.unit_tests import run_test_file

SHIPPED = Path(__file__).parents[2] / "rules"
TEST_FILES = sorted((SHIPPED / "tests").glob("*.yaml"))
#: What rollbackd makes itself, and what a service says once for all of its processes.
OURS = ("baseline:", "rollbackd:")
TREE = SHIPPED / "decision-tree.yaml"
TARGETS = {t["name"]: t["value"] for t in yaml.safe_load(TREE.read_text())["exit_targets"]}
NOW = 1_700_000_000_000


def of_a_process(series: InputSeries) -> InputSeries:
    labels = dict(series.labels)
    if labels[METRIC_NAME].startswith(OURS):
        return series
    return replace(series, labels=labels_of({**labels, "instance": "pod-1"}))


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda p: p.stem)
def test_rules_do_the_same_where_series_name_their_process(path: Path) -> None:
    file = read_test_file(path.read_text(), file=str(path))
    tests = tuple(
        replace(test, input_series=tuple(map(of_a_process, test.input_series)), expr_tests=())
        for test in file.tests
    )
    files = [path.parent / name for name in file.rule_files]
    rules = [read_rule_file(each.read_text(), file=str(each)) for each in files]
    failed = [r for r in run_test_file(replace(file, tests=tests), rules) if not r.passed]
    assert not failed


def fed(expr: str) -> Store:
    """Two processes, 1,200 samples each in the last five minutes, of all that it reads."""
    store = Store(lateness_ms=0, ahead_ms=0, max_series=1_000)
    names = set()
    for selector, window_ms in compile_expr(expr).reads:
        store.register(selector, window_ms=window_ms, rule=0)
        names.add(next(m.value for m in selector.matchers if m.name == METRIC_NAME))
    scope = {"service": "rag", "region": "eu"}
    for name in names:
        if name.startswith(OURS):
            store.ingest([Sample(labels_of({METRIC_NAME: name, **scope}), 0.5, NOW)], NOW)
            continue
        for instance in ("pod-1", "pod-2"):
            said = {METRIC_NAME: name, **scope, "arm": "canary", "code": "500"}
            labels: Labels = labels_of({**said, "instance": instance})
            store.ingest([Sample(labels, 0.7, NOW - 250 * n) for n in range(1_199, -1, -1)], NOW)
    return store


@pytest.mark.parametrize("expr", TARGETS.values(), ids=TARGETS.keys())
def test_an_exit_target_has_one_value_for_a_scope(expr: str) -> None:
    ((labels, _),) = compile_expr(expr).query(fed(expr), NOW)
    assert labels == (("region", "eu"), ("service", "rag"))
