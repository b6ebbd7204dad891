"""Prometheus as the oracle: one run of `promtool test rules` evaluates many expressions.

And this engine beside it, on the same series.
"""

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rollbackd.documents.durations import parse_duration
from rollbackd.model.events import Sample
from rollbackd.model.labels import METRIC_NAME, Labels, labels_of
from rollbackd.promql.expressions import CompiledExpr
from rollbackd.promql.store import Store
from rollbackd.promql.values import STALE
from rollbackd.rulefmt.series_notation import Gap, parse_metric, parse_values
from tests.services.availability import Component, require

#: An expectation that no expression meets, so that promtool prints what it got.
_NEVER = [{"labels": "never_this_series", "value": 4711}]
_BLOCK = re.compile(r'^    expr: (".*?(?<!\\)(?:\\\\)*"), time: [^,]*,(.*)', re.DOTALL)
_PAIR = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"')
_ELEMENT = re.compile(r'\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\} (\S+?)(?:, |$)')


@dataclass(frozen=True)
class Answer:
    """What Prometheus says: elements, or an error."""

    elements: dict[Labels, float]
    error: str = ""


def promtool() -> str:
    """The program; without it the test is skipped, or fails where the services are required."""
    require(Component.PROMTOOL)
    found = shutil.which("promtool")
    assert found is not None
    return found


def ask(
    series: dict[str, str], questions: list[tuple[str, str]], *, interval: str, folder: Path
) -> list[Answer]:
    """Prometheus's answers to (expression, time) questions about series in promtool's notation."""
    document = {
        "rule_files": [],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": interval,
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "promql_expr_test": [
                    {"expr": expr, "eval_time": time, "exp_samples": _NEVER}
                    for expr, time in questions
                ],
            }
        ],
    }
    path = folder / "questions.yaml"
    path.write_text(json.dumps(document))
    run = subprocess.run(
        [promtool(), "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    text = run.stderr + run.stdout
    blocks = re.split(r"\n(?=    expr: \")", text)[1:]
    assert len(blocks) == len(questions), text[:2_000]
    return [_answer(block) for block in blocks]


def _answer(block: str) -> Answer:
    match = _BLOCK.match(block)
    assert match is not None, block
    rest = match.group(2)
    if rest.startswith(" err: "):
        return Answer({}, rest.removeprefix(" err: ").strip())
    got = rest.split("\n        got: ", 1)[1].split("\n", 1)[0]
    if got == "nil":
        return Answer({})
    elements: dict[Labels, float] = {}
    for labels, value in _ELEMENT.findall(got):
        pairs = {name: json.loads(f'"{text}"') for name, text in _PAIR.findall(labels)}
        elements[labels_of(pairs)] = float(value)
    assert elements, got
    return Answer(elements)


def samples_of(series: dict[str, str], *, interval: str) -> list[Sample]:
    """What the notation says, series by series."""
    step_ms = parse_duration(interval)
    return [
        Sample(labels, STALE if value is Gap.STALE else value, step * step_ms)
        for labels, values in ((parse_metric(n), parse_values(v)) for n, v in series.items())
        for step, value in enumerate(values)
        if value is not Gap.MISSING
    ]


#: No sample of a test is as late as this.
AFTER_ALL_MS = 1 << 40


def stored(series: dict[str, str], expressions: Iterable[CompiledExpr], *, interval: str) -> Store:
    """The series in memory, as the engine keeps them for these expressions."""
    made = Store(lateness_ms=0, ahead_ms=0, max_series=10_000, retain_ms=1 << 40)
    for expr in expressions:
        for selector, window_ms in expr.reads:
            made.register(selector, window_ms=window_ms)
    made.ingest(samples_of(series, interval=interval), AFTER_ALL_MS)
    return made


def differences(
    mine: dict[Labels, float],
    theirs: dict[Labels, float],
    *,
    rel_tol: float = 1e-12,
    abs_tol: float = 0.0,
) -> list[str]:
    """What differs between two vectors; values agree to 12 digits, if nothing else is said."""
    found = [f"only here: {labels}" for labels in mine.keys() - theirs.keys()]
    found += [f"only there: {labels}" for labels in theirs.keys() - mine.keys()]
    for labels in mine.keys() & theirs.keys():
        left, right = mine[labels], theirs[labels]
        both_nan = math.isnan(left) and math.isnan(right)
        if (
            not both_nan
            and left != right
            and not math.isclose(left, right, rel_tol=rel_tol, abs_tol=abs_tol)
        ):
            found.append(f"{dict(labels).get(METRIC_NAME, '')}{labels}: {left!r} != {right!r}")
    return found
