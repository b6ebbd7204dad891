"""Rules that read well and cannot be compiled: one defect, one fixture, the exact text."""

from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.triggers.engine import Engine

DATA = Path(__file__).parent / "testdata"

EXPECTED = {
    "expr_syntax": """\
f.yaml:8:13: error: alert `A`: the expression ends after `>` (promql/syntax)
    8 |           ) >
      |             ^""",
    "expr_function": """\
f.yaml:7:15: error: alert `A`: unknown function `nosuch` (promql/function)
    7 |           and nosuch(x)
      |               ^^^^^^""",
    "expr_unsupported": """\
f.yaml:5:20: error: record `a`: function `histogram_count` is not supported (promql/unsupported)
    5 |         expr: 'x + histogram_count(y)'
      |                    ^^^^^^^^^^^^^^^""",
    "template": """\
f.yaml:6:25: error: `{{` is never closed (rule/template)
    6 |         labels: {team: "{{ $labels.team"}
      |                         ^^
f.yaml:8:26: error: template function `range` is not supported; known are `printf`, `humanize`, \
`humanize1024`, `humanizeDuration`, `humanizePercentage`, `title`, `toLower`, `toUpper` \
(rule/template)
    8 |           summary: "é {{ range query \\"up\\" }}{{ end }}"
      |                          ^^^^^
f.yaml:11:22: error: verb `%d` is not supported; use %f %e %g %s %v %q (rule/template)
   11 |             Value {{ printf "%d" $value }}.
      |                      ^^^^^^""",
    "several": """\
f.yaml:5:17: error: alert `A`: the expression ends after `+` (promql/syntax)
    5 |         expr: x +
      |                 ^
f.yaml:7:15: error: alert `B`: expected type matrix in call to function 'rate', got vector \
(promql/type)
    7 |         expr: rate(y)
      |               ^^^^
      = fix: add a window, e.g. `[5m]`""",
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_message_shows_the_place(name: str) -> None:
    """File, line, column, the source line with a caret, and the id."""
    text = (DATA / f"{name}.bad.yaml").read_text()
    with pytest.raises(DocumentError) as caught:
        Engine.build([read_rule_file(text, file="f.yaml")])
    assert str(caught.value) == EXPECTED[name]


def test_every_fixture_has_its_expectation() -> None:
    """No malformed file lies around unchecked."""
    assert {p.name.split(".")[0] for p in DATA.glob("*.bad.yaml")} == set(EXPECTED)
