"""The verdicts on a corpus, added up: one line for each scenario, and one for all."""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from rollbackd.app.generating.corpus import Verdict
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.promql.values import quantile_of


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How the rules did on some rollouts. What has nothing to count is None.

    `precision` is right calls of all calls, `recall` found incidents of all labelled ones.
    """

    name: str
    kind: str = ""
    line: str = ""
    branch: str = ""
    rollouts: int
    labelled: int
    found: int
    calls: int
    right: int
    precision: float | None
    recall: float | None
    detect_median_ms: float | None
    detect_p95_ms: float | None
    #: Which rules found it and which called wrongly, and how often.
    found_by: dict[str, int]
    wrong_calls_by: dict[str, int]


def tally(name: str, verdicts: Sequence[Verdict]) -> Tally:
    """Add up."""
    labelled, found = sum(v.labelled for v in verdicts), sum(v.found for v in verdicts)
    calls, right = sum(v.calls for v in verdicts), sum(v.right for v in verdicts)
    times = [float(v.detect_ms) for v in verdicts if v.detect_ms is not None]
    return Tally(
        name=name,
        rollouts=len(verdicts),
        labelled=labelled,
        found=found,
        calls=calls,
        right=right,
        precision=right / calls if calls else None,
        recall=found / labelled if labelled else None,
        detect_median_ms=quantile_of(0.5, times) if times else None,
        detect_p95_ms=quantile_of(0.95, times) if times else None,
        found_by=_counts(v.rule for v in verdicts if v.rule),
        wrong_calls_by=_counts(call.rule for v in verdicts for call in v.false_calls),
    )


def by_scenario(verdicts: Sequence[Verdict]) -> list[Tally]:
    """One for each scenario that was played, in the order of the catalogue."""
    tallies = []
    for scenario in SCENARIOS.values():
        played = [v for v in verdicts if v.task.scenario == scenario.name]
        if played:
            whole = tally(scenario.name, played)
            about = {"kind": scenario.kind, "line": scenario.line, "branch": scenario.branch}
            tallies.append(msgspec.structs.replace(whole, **about))
    return tallies


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def shortfalls(whole: Tally, *, min_precision: float | None, min_recall: float | None) -> list[str]:
    """Which of the wanted ratios are missed. Nothing labelled and nothing called is fine."""
    if not whole.calls and not whole.labelled:
        return []
    wanted = (
        ("precision", whole.precision, min_precision),
        ("recall", whole.recall, min_recall),
    )
    return [
        f"{name} is {'undefined' if value is None else f'{value:.4f}'}, wanted {least:g}"
        for name, value, least in wanted
        if least is not None and (value is None or value < least)
    ]
