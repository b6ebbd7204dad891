"""Comments that speak to rollbackd: where they count, and what is said of the others."""

import pytest

from rollbackd.rulefmt.rule_files import RuleFile, survey_rule_file

FLOOR, SCOPE = "lint/no-sample-floor", "lint/no-scope"


def read(text: str) -> tuple[RuleFile, list[str]]:
    rules, diagnostics = survey_rule_file(text, file="f")
    return rules, [d.render() for d in diagnostics]


def silenced(text: str) -> list[set[str]]:
    rules, problems = read(text)
    assert problems == []
    return [set(rule.disabled) for group in rules.groups for rule in group.rules]


def test_a_comment_counts_for_the_rule_it_stands_in_or_above() -> None:
    """On a line of its own, behind a value, in the expression; not for the neighbours."""
    assert silenced("""\
# rollbackd: disable=lint/no-scope above the groups is nobody's
groups:
  - name: g
    rules:
      # About the first.
      # rollbackd: disable=lint/no-scope because of this
      - alert: A
        expr: a > 1  # rollbackd: disable=lint/no-sample-floor
      - alert: B
        expr: |
          b > 1
          # rollbackd: disable=lint/no-scope

      # rollbackd: disable=lint/no-scope,lint/no-sample-floor
      - alert: C
        expr: c > 1
        # rollbackd: disable=lint/never-true deeper than the next rule

      - {alert: D, expr: d > 1}  # rollbackd: disable=lint/no-scope
      - {alert: E, expr: e > 1}
  # rollbackd: disable=lint/no-scope above a group is nobody's
  - name: h
    rules:
      - alert: F
        expr: f > 1
""") == [{FLOOR, SCOPE}, {SCOPE}, {FLOOR, SCOPE, "lint/never-true"}, {SCOPE}, set(), set()]


def test_a_file_can_be_silenced_and_tell_intervals() -> None:
    """Wherever the comments stand."""
    rules, problems = read("""\
# rollbackd: file/disable=lint/no-scope these rules are about one service
groups: []
# rollbackd: interval latency_seconds{arm="canary"} 1m30s
""")
    assert problems == []
    assert rules.disabled == {SCOPE}
    (hint,) = rules.intervals
    assert (hint.selector, hint.interval_ms) == ('latency_seconds{arm="canary"}', 90_000)


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("disable=lint/no-such", "`lint/no-such` is not a lint"),
        ("disable=lint/no-scope,promql/syntax", "`promql/syntax` is not a lint"),
        ("disable", "no lint is named"),
        ("disable=", "no lint is named"),
        ("disbale=lint/no-scope", "`disbale` is no comment of rollbackd"),
        ("interval 30s", "an interval needs a selector and a duration"),
        ("interval up 30", "`30` is not a duration"),
        ("", "`` is no comment of rollbackd"),
    ],
)
def test_a_comment_that_is_not_understood_is_told(comment: str, said: str) -> None:
    """It would look as if it did something; it refuses nothing."""
    _, (problem,) = read(f"groups: []\n  # rollbackd: {comment}\n")
    assert problem.startswith(f"f:2:3: warning: {said}")
    assert "(lint/comment)" in problem


def test_other_comments_are_nobodys_business() -> None:
    """Nor is a text that only looks like one."""
    _, problems = read("# rollbackd reads this\n# see: rollbackd: x\ngroups: []  #rollback: no\n")
    assert problems == []
