"""Random texts: expressions grown from a grammar that cares little for types, and mutated corpora.

A case depends on the seed and its number alone, so that any of them can be run again by itself.
"""

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rollbackd.promql.calls import FUNCTIONS
from tests.promql import corpus as promql_corpus

_ROOT: Final = Path(__file__).parents[2]

_AGGREGATIONS: Final = (
    "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile", "topk", "bottomk",
    "count_values", "limitk",
)  # fmt: skip
_FUNCTIONS: Final = (*sorted(FUNCTIONS), "histogram_count", "sort_by_label", "nosuch", "info")
_OPERATORS: Final = (
    "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "and", "or", "unless",
    "> bool", "== bool",
)  # fmt: skip
_DURATIONS: Final = (
    "1m",
    "5m",
    "30s",
    "1h30m",
    "15s",
    "0s",
    "1ms",
    "1y",
    "999999999y",
    "0x7fffffffffffffff",
    "-5m",
    "5",
    "1.5m",
    "5z",
)
_NUMBERS: Final = (
    "0", "1", "-1", "0.5", "1e308", "1e-320", "Inf", "-inf", "NaN", "0x1F", "07", "1e999", "2", "3",
    "9223372036854775808", "-0", "1_000", ".5", "5.",
)  # fmt: skip
_NAMES: Final = (
    "requests_total", "temperature", "odd", "limit", "latency_bucket", "nothing", "build", "ALERTS",
    "a:b", "on", "by", "offset", "bool", "sum", "inf", "nan", "start", "été",
)  # fmt: skip
_LABELS: Final = ("job", "instance", "le", "code", "__name__", "", "on", "x-y", "kind", "empty")
_VALUES: Final = (
    "api", "web", "", ".*", ".+", "a|b", "(", "[", "(a+)+", "(?i)A", "\\\\d", "\\xff", "$1", "${1}",
    "\\u00e9", "{2,1}", "(?P<n>.)", "^a$", "\\\\pL", "a{1001}", "'", "[[:alpha:]]", "é", "\\n",
)  # fmt: skip
_WORDS: Final = (
    *_OPERATORS, *_NAMES, *_NUMBERS, *_DURATIONS, "by", "without", "on", "ignoring", "group_left",
    "group_right", "offset", "@", "start()", "end()", "bool", "(", ")", "[", "]", "{", "}", ",",
    ":", "=", "=~", "!~", '"', "'", "`", "#", "\\", "\n", "\t", " ", "\x00", "\ufeff", "\u2028",
    "é", "\U0001d6ff",
)  # fmt: skip
_YAML_WORDS: Final = (
    "groups:", "- name: a", "rules:", "alert: A", "record: r", "expr: up", "for: 5m", "labels:",
    "[]", "{}", "null", "~", "true", "1", "|", ">-", "&a", "*a", "<<:", "!!int", "? ", "- ", ": ",
    "#", "%", "\t", "\n", "  ", '"', "'", "{{ $labels.x }}", "{{ $value | humanize }}", "{{", "}}",
    "limit: 1", "keep_firing_for: 1m", "interval: 0s", "---", "...", "\x00", "\x85", "\ufeff", "é",
    "2026-01-01", "# rollbackd disable", "1e999", "0x10", "-1", "5z", "eval_time: 1m",
    "values: 1+1x5", "1x1000001", "series: up", "exp_samples:", "hold: 10m", "levers:",
    "targets: [x]", "priority: 1",
)  # fmt: skip
_TOKEN: Final = re.compile(r"\w+|\s+|[^\w\s]")

Random = random.Random
Maker = Callable[[Random], str]


def chance_of(seed: int, number: int) -> Random:
    """The random numbers of one case."""
    return Random(f"{seed}:{number}")


# Expressions


def expression(rng: Random) -> str:
    """Grown, taken from the corpus, or both; often damaged."""
    text = grown(rng, rng.randint(0, 4)) if rng.random() < 0.5 else rng.choice(_EXPRESSIONS)
    if rng.random() < 0.25:
        text = f"{text} {rng.choice(_OPERATORS)} {rng.choice(_EXPRESSIONS)}"
    return mutated(rng, text, _WORDS, _EXPRESSIONS, most=rng.choice((0, 0, 1, 2, 6)))


def grown(rng: Random, depth: int) -> str:
    """A random expression at most so deep."""
    if depth <= 0:
        return _leaf(rng)
    return rng.choice((_leaf, _call, _call, _aggregate, _binary, _binary, _subquery, _sign))(
        rng, depth
    )


def _leaf(rng: Random, _depth: int = 0) -> str:
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(_NUMBERS)
    if kind < 0.2:
        return f'"{rng.choice(_VALUES)}"'
    text = rng.choice(_NAMES)
    if rng.random() < 0.4:
        matchers = ", ".join(
            f'{rng.choice(_LABELS)}{rng.choice(("=", "!=", "=~", "!~"))}"{rng.choice(_VALUES)}"'
            for _ in range(rng.randint(0, 2))
        )
        text += f"{{{matchers}}}"
    if rng.random() < 0.35:
        text += f"[{rng.choice(_DURATIONS)}]"
    return text + _modifiers(rng)


def _modifiers(rng: Random) -> str:
    if rng.random() < 0.8:
        return ""
    at = f" @ {rng.choice(('start()', 'end()', *_NUMBERS))}"
    return rng.choice((f" offset {rng.choice(_DURATIONS)}", at))


def _call(rng: Random, depth: int) -> str:
    function = rng.choice(_FUNCTIONS)
    if "over_time" in function or function in {"rate", "increase", "delta", "deriv"}:
        window = rng.choice(_DURATIONS)
        return f"{function}({rng.choice(_NAMES)}[{window}])"
    arguments = [grown(rng, depth - 1) for _ in range(rng.choice((1, 1, 1, 0, 2, 3, 5)))]
    return f"{function}({', '.join(arguments)})"


def _aggregate(rng: Random, depth: int) -> str:
    operator = rng.choice(_AGGREGATIONS)
    labels = ", ".join(rng.sample(_LABELS, rng.randint(0, 2)))
    grouping = rng.choice(("", f"by ({labels})", f"without ({labels})"))
    first = rng.choice(("", "", f"{rng.choice(_NUMBERS)}, ", f'"{rng.choice(_LABELS)}", '))
    return f"{operator} {grouping} ({first}{grown(rng, depth - 1)})"


def _binary(rng: Random, depth: int) -> str:
    labels = ", ".join(rng.sample(_LABELS, rng.randint(0, 2)))
    matching = rng.choice(("", "", f"on ({labels})", f"ignoring ({labels})"))
    side = rng.choice(("", "", "", f"group_left ({labels})", "group_right ()")) if matching else ""
    operator = f"{rng.choice(_OPERATORS)} {matching} {side}"
    return f"({grown(rng, depth - 1)}) {operator} ({grown(rng, depth - 1)})"


def _subquery(rng: Random, depth: int) -> str:
    window = f"{rng.choice(_DURATIONS)}:{rng.choice(('', *_DURATIONS))}"
    function = rng.choice(("max_over_time", "rate", "quantile_over_time", "count_over_time", ""))
    return f"{function}(({grown(rng, depth - 1)})[{window}]{_modifiers(rng)})"


def _sign(rng: Random, depth: int) -> str:
    return f"{rng.choice('-+')}{grown(rng, depth - 1)}"


# Files


def rule_file(rng: Random) -> str:
    """One rule of the corpus, or a new one around an expression; often damaged."""
    if rng.random() < 0.5:
        return _damaged(rng, rng.choice(_RULES))
    indented = "\n".join(f"          {line}" for line in expression(rng).split("\n"))
    kind = rng.choice(("alert: A", "record: a:b", "alert: 'A b'", "record: 0"))
    rest = rng.choice(
        (
            "",
            "        for: 5m\n        labels: {branch: quality_regression}\n",
            "        annotations: {summary: '{{ $labels.job | title }} {{ $value }}'}\n",
            "        keep_firing_for: 1m\n",
        )
    )
    text = f"groups:\n  - name: g\n    rules:\n      - {kind}\n        expr: |\n{indented}\n{rest}"
    return _damaged(rng, text)


def unit_tests(rng: Random) -> str:
    """A file of unit tests of the corpus, damaged."""
    return _damaged(rng, rng.choice(_TESTS))


def decision_tree(rng: Random) -> str:
    """A decision tree of the corpus, damaged."""
    return _damaged(rng, rng.choice(_TREES))


def _damaged(rng: Random, text: str) -> str:
    return mutated(rng, text, _YAML_WORDS, (*_RULES, *_TESTS), most=rng.choice((0, 1, 1, 2, 4, 12)))


def mutated(
    rng: Random, text: str, words: Sequence[str], others: Sequence[str], *, most: int
) -> str:
    """The text with so many things removed, repeated, replaced, moved or put in."""
    for _ in range(most):
        pieces = _TOKEN.findall(text)
        if not pieces:
            return rng.choice(words)
        at = rng.randrange(len(pieces))
        until = min(len(pieces), at + rng.choice((1, 1, 1, 2, 5, 20)))
        how = rng.randrange(7)
        if how == 0:
            pieces[at:until] = []
        elif how == 1:
            pieces[at:at] = pieces[at:until]
        elif how == 2:
            pieces[at] = rng.choice(words)
        elif how == 3:
            pieces.insert(at, rng.choice(words))
        elif how == 4:
            other = rng.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        elif how == 5:
            theirs = _TOKEN.findall(rng.choice(others))
            start = rng.randrange(len(theirs) or 1)
            pieces[at:until] = theirs[start : start + rng.choice((1, 3, 10))]
        else:
            piece = pieces[at]
            place = rng.randrange(len(piece))
            pieces[at] = piece[:place] + chr(rng.choice(_CODES)) + piece[place + 1 :]
        text = "".join(pieces)[:_LONGEST]
    return text


_LONGEST: Final = 4_000
_CODES: Final = (*range(0x80), 0x85, 0xA0, 0xE9, 0x2028, 0xFEFF, 0x1F600, 0x10FFFF)


# The corpora


def _read(*patterns: str) -> list[str]:
    paths = sorted(path for pattern in patterns for path in _ROOT.glob(pattern))
    assert paths, patterns
    return [path.read_text() for path in paths]


def _single_rules(text: str) -> list[str]:
    """Each rule of a file in a file of its own, which is read in a millisecond."""
    rules = re.split(r"\n(?= *- (?:alert|record):)", text)[1:]
    return [f"groups:\n  - name: g\n    rules:\n{rule}\n" for rule in rules]


_EXPRESSIONS: Final = tuple(promql_corpus.expressions())
_RULES: Final = tuple(
    rule
    for text in _read("rules/when-to-pull.yaml", "tests/triggers/public/*.yaml")
    for rule in _single_rules(text)
) + tuple(_read("tests/triggers/testdata/*.yaml", "tests/rulefmt/testdata/*.yaml"))
_TREES: Final = tuple(_read("rules/decision-tree.yaml", "tests/rulefmt/testdata/tree/*.yaml"))
_TESTS: Final = (
    """
rule_files: []
evaluation_interval: 1m
group_eval_order: [g]
tests:
  - name: one
    interval: 15s
    input_series:
      - {series: 'up{job="a", instance="x"}', values: '1x4 _ stale 0+1x5 NaN -Inf'}
      - {series: errors, values: "0+1x20"}
    external_labels: {region: eu}
    promql_expr_test:
      - expr: rate(errors[1m]) > 0 or up
        eval_time: 2m
        exp_samples:
          - {labels: 'up{job="a", instance="x"}', value: 1}
    alert_rule_test:
      - eval_time: 3m
        alertname: A
        exp_alerts:
          - exp_labels: {job: a}
            exp_annotations: {summary: "x is {{ $value }}"}
""",
    """
tests:
- interval: 1m
  input_series:
  - series: a
    values: 1 2 3 4x5 5-1x3
  promql_expr_test:
  - {expr: 'sum(a)', eval_time: 4m, exp_samples: [{labels: '{}', value: 4}]}
""",
)
