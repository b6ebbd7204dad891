"""Rule files: values with places, and every mistake of a file in one run."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.rulefmt.rule_files import RuleKind, read_rule_file

DATA = Path(__file__).parent / "testdata"

#: One defect, one fixture: (file, what each diagnostic's first line says behind the file name).
MALFORMED: dict[str, list[str]] = {
    "unknown_key": ["6:9: error: key `anotations` is not known here"],
    "no_kind": ["4:9: error: a rule needs `alert` or `record` (rule/kind)"],
    "two_kinds": ["4:9: error: `alert` and `record` cannot stand in one rule (rule/kind)"],
    "no_expr": ["4:9: error: `expr` is missing (key/missing)"],
    "empty_expr": ["5:15: error: the expression is empty (rule/expr)"],
    "no_group_name": ["2:5: error: `name` is missing (key/missing)"],
    "group_repeated": ["4:5: error: group `g` stands here a second time; the first is on line 2"],
    "bad_duration": ["6:14: error: `five minutes` is not a duration"],
    "for_in_record": ["6:9: error: `for` has no meaning in a recording rule (rule/record)"],
    "braces_in_record": ['4:17: error: `a{b="c"}` is not a metric name (rule/name)'],
    "bad_label": [
        "6:18: error: `my-label` is not a label name (rule/label)",
        "6:33: error: `__name__` is not a label name (rule/label)",
    ],
    "bad_annotation": ["6:23: error: `sum mary` is not an annotation name (rule/annotation)"],
    "negative_limit": ["3:12: error: `-1` is below the minimum `0`"],
    "groups_no_list": ["1:9: error: expected a list, got a mapping"],
    "query_offset": ["3:5: error: `query_offset` of a group is not supported (rule/unsupported)"],
    "alias": ["3:5: error: alias `*g` is not allowed (yaml/alias)"],
    "duplicate_key": ["3:5: error: key `name` stands here a second time"],
    "many_defects": [
        "2:5: error: key `nam` is not known here",
        "2:5: error: `name` is missing",
        "4:9: error: key `alrt` is not known here",
        "4:9: error: a rule needs `alert` or `record`",
        "5:15: error: the expression is empty",
        "6:17: error: `1a` is not a metric name",
        "8:9: error: `for` has no meaning in a recording rule",
        "8:14: error: `5x` is not a duration",
    ],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_refused_with_all_its_problems(name: str) -> None:
    """Each problem is named with its place; nothing else is reported."""
    text = (DATA / f"{name}.bad.yaml").read_text()
    with pytest.raises(DocumentError) as caught:
        read_rule_file(text, file="f.yaml")
    heads = [d.render().splitlines()[0] for d in caught.value.diagnostics]
    assert len(heads) == len(MALFORMED[name]), heads
    for head, expected in zip(heads, MALFORMED[name], strict=True):
        assert head.startswith(f"f.yaml:{expected}"), heads


def test_every_fixture_has_its_expectation() -> None:
    """No malformed file lies around unchecked."""
    assert {p.name.split(".")[0] for p in DATA.glob("*.bad.yaml")} == set(MALFORMED)


def test_a_rule_file_becomes_values() -> None:
    """Everything that Prometheus knows of a rule arrives, durations in milliseconds."""
    text = """
groups:
  - name: g
    interval: 30s
    limit: 3
    rules:
      - record: job:x:rate5m
        expr: sum by (job) (rate(x[5m]))
        labels: {team: 7}
      - alert: A
        expr: job:x:rate5m > 1
        for: 1m30s
        keep_firing_for: 2m
        labels: {severity: page}
        annotations: {summary: "{{ $value }}"}
"""
    (group,) = read_rule_file(text, file="f.yaml").groups
    assert (group.name, group.interval_ms, group.limit) == ("g", 30_000, 3)
    record, alert = group.rules
    assert (record.kind, record.name) == (RuleKind.RECORD, "job:x:rate5m")
    assert record.labels["team"].value == "7"
    assert (alert.kind, alert.for_ms, alert.keep_firing_for_ms) == (RuleKind.ALERT, 90_000, 120_000)
    assert alert.annotations["summary"].value == "{{ $value }}"


@pytest.mark.parametrize("text", ["", "groups: []", "# nothing\n", "groups:\n"])
def test_a_file_without_groups(text: str) -> None:
    """An empty file holds no rules; `groups` without a list is a mistake."""
    if text == "groups:\n":
        with pytest.raises(DocumentError):
            read_rule_file(text, file="f.yaml")
    else:
        assert read_rule_file(text, file="f.yaml").groups == ()


STYLES = {
    "plain": "expr: {0} + {1}",
    "plain over two lines": "expr: {0}\n          + {1}",
    "single quoted": "expr: '{0} and x{{a=''b''}} + {1}'",
    "double quoted": 'expr: "{0} and x{{a=\\"b\\"}} \\n + {1}"',
    "double quoted with escapes": 'expr: "{0} \\x20\\u0020 + {1}"',
    "literal": "expr: |\n          {0}\n            + {1}",
    "literal, stripped": "expr: |-  # a comment\n\n          {0}\n          + {1}",
    "folded": "expr: >\n          {0}\n          +\n\n          {1}",
}


@pytest.mark.parametrize("style", STYLES)
def test_a_place_in_an_expression_is_a_place_in_the_file(style: str) -> None:
    """Whatever the YAML style, an offset in the value leads to its line and column."""
    text = "groups:\n- name: g\n  rules:\n    - alert: A\n      "
    text += STYLES[style].format("first_metric", "second_metric") + "\n"
    (rule,) = read_rule_file(text, file="f.yaml").groups[0].rules
    for word in ("first_metric", "second_metric"):
        start = rule.expr.value.index(word)
        where = rule.expr.position(start, start + len(word))
        line = text.splitlines()[where.line - 1]
        assert line[where.column - 1 :][: where.width] == word


SCALARS = st.one_of(st.text(max_size=8), st.integers(), st.booleans(), st.none(), st.floats())
KEYS = ["groups", "name", "rules", "alert", "record", "expr", "for", "labels", "limit", "odd"]
KEYS += ["annotations", "interval", "keep_firing_for"]
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(tree=TREES)
@settings(max_examples=300, deadline=None)
def test_nothing_but_diagnostics_comes_out_of_a_random_tree(tree: object) -> None:
    """Whatever the shape of a file, it is read or refused."""
    for text in (yaml.safe_dump(tree), yaml.safe_dump({"groups": [tree]})):
        try:
            read_rule_file(text, file="f.yaml")
        except DocumentError as error:
            assert error.diagnostics  # noqa: PT017


@given(text=st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_nothing_but_diagnostics_comes_out_of_random_text(text: str) -> None:
    """The same for any characters."""
    try:
        read_rule_file(text, file="f.yaml")
    except DocumentError as error:
        assert error.diagnostics  # noqa: PT017
