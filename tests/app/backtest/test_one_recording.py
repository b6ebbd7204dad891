"""One rule file and one recording: unit test, live, backtest and explain say the same at each step.

The engine is the same code in all of them; this is what shows it.
"""

import asyncio
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rollbackd.app.backtest.recording import Faults, FileRecording
from rollbackd.app.configuration import load
from rollbackd.app.explaining import explain_recording, live_question
from rollbackd.model.explanations import RuleExplanation
from rollbackd.model.labels import format_labels
from rollbackd.model.triggers import RuleState
from rollbackd.rulefmt.series_notation import parse_metric
from rollbackd.rulefmt.test_files import read_test_file
from rollbackd.settings import Settings, default_settings
from rollbackd.triggers.engine import Evaluation
from rollbackd.triggers.explaining import no_fate
from rollbackd.triggers.unit_tests import run_test_file
from tests.app.backtest.playing import NOW_MS, event, played_files, settings_of, write
from tests.app.backtest.recordings import START_MS
from tests.app.backtest.test_same_verdicts import RULES, Live, Verdict, lived, verdicts_of

_STEP_MS = 15_000
_ALERTS = ("High", "HighLately", "Gone")

#: (rule, labels) -> pending or firing, for what is either.
States = dict[tuple[str, str], str]

#: One value a step of a service's level, None for a step without an event; whether a rule fires.
LEVELS: dict[str, tuple[list[float | None], bool]] = {
    "pending, firing, kept, resolved": ([5, 11, 11, 12, 11, 5, 5, 5, 5, 5, 11, 5, 5], True),
    "firing, silent, absent, back": ([11, 11, 11, 11, *[None] * 25, 12, 11, 11, 11], True),
    "never for long enough": ([5, 11, 12, 5], False),
}


@pytest.mark.parametrize(("levels", "fires"), LEVELS.values(), ids=LEVELS)
def test_all_four_say_the_same(tmp_path: Path, levels: list[float | None], *, fires: bool) -> None:
    """Which instances are pending and firing, at every step of the recording."""
    chosen = settings_of(tmp_path, RULES)
    events = [event(15 * n, level=v) for n, v in enumerate(levels) if v is not None]
    path = write(tmp_path / "recording.ndjson", events)
    steps = range(START_MS, START_MS + len(levels) * _STEP_MS, _STEP_MS)

    by_backtest = _at_steps(verdicts_of(played_files([path], load(chosen), chosen)), steps)
    live = asyncio.run(_live(path, chosen, tmp_path))
    by_explain = [asyncio.run(_explained(path, chosen, at_ms)) for at_ms in steps]

    assert _at_steps(live.verdicts, steps) == by_backtest
    assert [live.explained[at_ms] for at_ms in steps] == by_backtest
    assert by_explain == by_backtest
    assert _failures(chosen, levels, by_backtest) == []
    # where nothing happens, all agree
    seen = {state for step in by_backtest for state in step.values()}
    assert seen == ({"pending", "firing"} if fires else {"pending"})


class _Explaining(Live):
    """The daemon's parts, asked for an explanation of every rule after each evaluation."""

    def __init__(self, *parts: Any) -> None:
        self.explained: dict[int, States] = {}
        super().__init__(*parts)

    def note(self, evaluation: Evaluation) -> None:
        """See Live."""
        super().note(evaluation)
        now_ms = self.clock.now()
        question = live_question(
            "",
            now_ms=now_ms,
            scope=None,
            scope_labels=default_settings().scope_labels,
            fate_of=no_fate,
            limit=20,
        )
        self.explained[now_ms] = _states(
            explanation for rule in _ALERTS for explanation in self.engine.explain(rule, question)
        )


async def _live(path: Path, chosen: Settings, folder: Path) -> _Explaining:
    live = await lived(path, load(chosen), chosen, folder, _Explaining)
    await live.runner.stop()
    await live.store.close()
    return live


async def _explained(path: Path, chosen: Settings, at_ms: int) -> States:
    """What `rollbackd explain --events --at` says of every rule."""
    found: list[RuleExplanation] = []
    for rule in _ALERTS:
        faults = Faults()
        found += await explain_recording(
            [FileRecording(path, faults, now_ms=NOW_MS)],
            load(chosen),
            chosen,
            rule,
            scope=None,
            at_ms=at_ms,
            limit=20,
            faults=faults,
        )
    return _states(found)


def _states(explanations: Iterable[RuleExplanation]) -> States:
    found: States = {}
    for explanation in explanations:
        states = [each.state for each in explanation.instances]
        # the verdict in words is the one of the instances
        assert explanation.state in (states or [RuleState.INACTIVE])
        for each in explanation.instances:
            found[explanation.rule, format_labels(sorted(each.labels.items()))] = str(each.state)
    return found


def _at_steps(verdicts: Sequence[Verdict], steps: Iterable[int]) -> list[States]:
    """The transitions, added up at each step."""
    found: list[States] = []
    for at_ms in steps:
        states: States = {}
        for when, rule, state, labels in verdicts:
            if when <= at_ms:
                states[rule, labels] = state
        found.append({key: state for key, state in states.items() if state != "inactive"})
    return found


def _failures(
    chosen: Settings, levels: Sequence[float | None], states: Sequence[States]
) -> list[tuple[str, str, str]]:
    """What a unit test with these firing instances does not find."""
    shown = " ".join("_" if v is None else f"{v:g}" for v in levels)
    series = {"series": 'level{arm="canary", region="eu", service="rag"}', "values": shown}
    cases = [
        {
            "eval_time": f"{15 * number}s",
            "alertname": rule,
            "exp_alerts": [
                {"exp_labels": _without_name(labels)}
                for (name, labels), state in step.items()
                if name == rule and state == "firing"
            ],
        }
        for number, step in enumerate(states)
        for rule in _ALERTS
    ]
    test = {"interval": "15s", "input_series": [series], "alert_rule_test": cases}
    document = {"rule_files": [], "evaluation_interval": "15s", "tests": [test]}
    tests = read_test_file(json.dumps(document), file="tests.yaml")
    results = run_test_file(tests, load(chosen).rule_files)
    assert len(results) == len(cases)
    return [(r.name, r.expected, r.got) for r in results if not r.passed]


def _without_name(labels: str) -> dict[str, str]:
    return {name: value for name, value in parse_metric(labels) if name != "alertname"}
