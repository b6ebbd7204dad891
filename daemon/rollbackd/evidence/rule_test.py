"""The recorded window as a rule unit test that fires: what the post-mortem asks for (A5).

The format is promtool's, https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/.
It has one value a step of a fixed interval. So the interval is the largest on which every sample
has a step of its own; samples of one series with equal timestamps, which rollbackd keeps and
promtool cannot express, go to the free steps before, a millisecond each. Where a rule has a `for`,
which reaches further back than the window, the window is repeated before itself. Nothing of this is
believed: the test is run, and what does not fire is refused with its reason.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

import yaml

from rollbackd.documents.durations import format_duration
from rollbackd.evidence.evaluations import expanded, series_of
from rollbackd.model.events import Sample
from rollbackd.model.incidents import Evidence, Incident
from rollbackd.model.labels import Labels, format_labels
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.rulefmt.rule_files import RuleFile, RuleKind
from rollbackd.triggers.engine import Engine

_INTERVALS_MS: Final = (15_000, 10_000, 5_000, 1_000, 500, 200, 100, 50, 20, 10, 5, 2, 1)
_EVALUATION_MS: Final = 15_000
#: promtool and `rollbackd test` hold every step of every series in memory.
MOST_STEPS: Final = 1_000_000
MOST_SAMPLES: Final = 200_000
_FOREVER: Final = 1 << 60

#: A series with its values by step.
Stepped = tuple[Labels, dict[int, float]]


class NoTestError(Exception):
    """The recorded window makes no test that fires; the message says why."""


def emit_test(incident: Incident, rule_files: Sequence[RuleFile], *, rules: Sequence[str]) -> str:
    """A test file as YAML, with these `rule_files:`. Raises NoTestError.

    It is for the first trigger, and it fires on the rules that are given.
    """
    trigger, evidence = _recorded(incident)
    for_ms = _for_of(rule_files, trigger)
    reasons = []
    for end_ms in dict.fromkeys((trigger.evaluated_at_ms, evidence.captured_at_ms)):
        samples = _samples(evidence, end_ms)
        if not samples:
            reasons.append("no sample was recorded up to then")
            continue
        interval_ms, eval_ms, stepped = _stepped(samples, end_ms, for_ms)
        fired = _fired(rule_files, trigger.rule, stepped, interval_ms, eval_ms)
        if fired:
            test = _test(
                incident, trigger, stepped, fired, interval_ms=interval_ms, eval_ms=eval_ms
            )
            return _text(incident, rules, test)
        reasons.append(f"`{trigger.rule}` does not fire on the window that ends at {end_ms}")
    raise NoTestError("; ".join([*reasons, *_doubts(evidence)]))


def _recorded(incident: Incident) -> tuple[Trigger, Evidence]:
    if not incident.triggers:
        raise NoTestError("no rule triggered it: it was pulled by hand")
    if incident.evidence is None or not incident.evidence.windows:
        raise NoTestError("no window of its triggers was recorded")
    count = sum(window.count for window in incident.evidence.windows)
    if count > MOST_SAMPLES:
        raise NoTestError(f"the window has {count:,} samples, and a test holds {MOST_SAMPLES:,}")
    return incident.triggers[0], incident.evidence


def _for_of(rule_files: Iterable[RuleFile], trigger: Trigger) -> int:
    for file in rule_files:
        for group in file.groups:
            for rule in group.rules:
                if rule.kind is RuleKind.ALERT and rule.name == trigger.rule:
                    return rule.for_ms
    raise NoTestError(f"the rule files have no alert `{trigger.rule}`")


def _samples(evidence: Evidence, end_ms: int) -> list[tuple[Labels, list[tuple[int, float]]]]:
    """The samples of each series up to a time."""
    found = (
        (series_of(window), [(t, v) for t, v in expanded(window) if t <= end_ms])
        for window in evidence.windows
    )
    return [(labels, samples) for labels, samples in found if samples]


def _stepped(
    samples: Sequence[tuple[Labels, list[tuple[int, float]]]], end_ms: int, for_ms: int
) -> tuple[int, int, list[Stepped]]:
    """The interval, the time of the evaluation and the series by step; time begins at 0."""
    begin_ms = min(each[0][0] for _, each in samples)
    length = max(1, end_ms - begin_ms)
    repeats = -(-for_ms // length)
    room = max(len(each) for _, each in samples)
    eval_ms = -(-(length * (1 + repeats) + room) // _EVALUATION_MS) * _EVALUATION_MS
    if for_ms:
        eval_ms += _EVALUATION_MS
    intervals = [ms for ms in _INTERVALS_MS if eval_ms // ms <= MOST_STEPS]
    if not intervals:
        raise NoTestError(f"the window of {format_duration(length)} is too long for a test")
    shift = eval_ms - end_ms
    interval_ms = next((ms for ms in intervals if _is_distinct(samples, shift, ms)), intervals[-1])
    stepped = [
        (labels, _placed(each, shift, interval_ms, length=length, repeats=repeats))
        for labels, each in samples
    ]
    return interval_ms, eval_ms, stepped


def _is_distinct(
    samples: Sequence[tuple[Labels, list[tuple[int, float]]]], shift: int, interval_ms: int
) -> bool:
    return all(
        len({(time + shift) // interval_ms for time, _ in each}) == len(each) for _, each in samples
    )


def _placed(
    samples: list[tuple[int, float]], shift: int, interval_ms: int, *, length: int, repeats: int
) -> dict[int, float]:
    """Each sample on the step of its time, or the next free one before it."""
    placed: dict[int, float] = {}
    free = _FOREVER
    for repeat in range(repeats + 1):
        for time, value in reversed(samples):
            free = min(free - 1, (time + shift - repeat * length) // interval_ms)
            if free < 0:
                return placed
            placed[free] = value
    return placed


def _fired(
    rule_files: Sequence[RuleFile],
    rule: str,
    series: Sequence[Stepped],
    interval_ms: int,
    eval_ms: int,
) -> list[Trigger]:
    """What fires at the time of the evaluation, by the engine itself."""
    engine = Engine.build(
        rule_files, ahead_ms=_FOREVER, lateness_ms=_FOREVER, max_series=_FOREVER,
        retain_ms=_FOREVER, step_ms=_EVALUATION_MS,
    )  # fmt: skip
    pending = sorted(
        (Sample(labels, value, step * interval_ms) for labels, steps in series
         for step, value in steps.items()),
        key=lambda sample: sample.time_ms,
        reverse=True,
    )  # fmt: skip
    for now_ms in range(0, eval_ms + 1, _EVALUATION_MS):
        batch = []
        while pending and pending[-1].time_ms <= now_ms:
            batch.append(pending.pop())
        engine.ingest(batch, now_ms)
        engine.evaluate(now_ms, force=True)
    return [t for t in engine.instances(RuleState.FIRING, eval_ms) if t.rule == rule]


def _test(
    incident: Incident,
    trigger: Trigger,
    series: Sequence[Stepped],
    fired: Sequence[Trigger],
    *,
    interval_ms: int,
    eval_ms: int,
) -> dict[str, object]:
    expected = [
        {
            "exp_labels": {k: v for k, v in each.labels if k != "alertname"},
            "exp_annotations": each.annotations,
        }
        for each in fired
    ]
    alert = {
        "eval_time": format_duration(eval_ms),
        "alertname": trigger.rule,
        "exp_alerts": expected,
    }
    return {
        "name": f"{incident.id}: {trigger.rule} on {incident.scope}",
        "interval": format_duration(interval_ms),
        "input_series": [
            {"series": format_labels(labels), "values": _values(steps)} for labels, steps in series
        ],
        "alert_rule_test": [alert],
    }


def _values(steps: dict[int, float]) -> str:
    """`_x9 0.5x2 0.7`: runs of the same value, and gaps."""
    items: list[str] = []
    run: list[float] = []
    last = -1

    def end_run() -> None:
        if run:
            items.append(_number(run[0]) + (f"x{len(run) - 1}" if len(run) > 1 else ""))
            run.clear()

    for step in sorted(steps):
        gap = step - last - 1
        if gap:
            end_run()
            items.append(f"_x{gap}" if gap > 1 else "_")
        # promtool reads no `Infx2`
        if run and (run[0] != steps[step] or math.isinf(run[0])):
            end_run()
        run.append(steps[step])
        last = step
    end_run()
    return " ".join(items)


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return repr(value).removesuffix(".0")


def _text(incident: Incident, rules: Sequence[str], test: dict[str, object]) -> str:
    head = (
        f"# The window of incident {incident.id} as it was recorded; the rule has to fire on it.\n"
        "# Made by `rollbackd incidents ID --emit-test`.\n"
    )
    body = {
        "rule_files": list(rules),
        "evaluation_interval": format_duration(_EVALUATION_MS),
        "tests": [test],
    }
    return head + yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=1_000_000)


def _doubts(evidence: Evidence) -> list[str]:
    thinned = [w for w in evidence.windows if w.count > len(w.samples)]
    return [
        f"of `{window.metric}` {len(window.samples):,} of {window.count:,} samples were kept"
        for window in thinned
    ]
