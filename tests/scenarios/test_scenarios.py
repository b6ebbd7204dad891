"""Every scenario comes out as its file says, and together they go every way there is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import asdict, replace

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.incidents.guardrails import GUARDRAILS
from rollbackd.incidents.states import TRANSITIONS
from rollbackd.model.incidents import State
from tests.scenarios.runner import Outcome, outcome_of
from tests.scenarios.timeline import Expect, Scenario, read_scenarios, scenarios_of

_HERE: Final = Path(__file__).parent
_SCENARIOS: Final = scenarios_of(_HERE)
#: What was played in this run.
_PLAYED: Final[dict[str, Outcome]] = {}

_WANTED: Final = (
    [f"C{n}" for n in range(1, 8)]
    + [f"D{n}" for n in range(1, 5)]
    + [f"X{n}" for n in range(1, 5)]
    + ["P4"]
    + [f"{letter}{n}" for letter in "AF" for n in range(1, 6)]
    + [f"K{n}" for n in range(16, 24)]
    + [f"A5-{n:02}" for n in range(1, 17)]
)
#: Guardrails whose reason is not their name.
_SPENT: Final = "budget_spent"


async def played(scenario: Scenario, folder: Path) -> Outcome:
    """What came of a scenario; it is played once."""
    if scenario.name not in _PLAYED:
        _PLAYED[scenario.name] = await outcome_of(scenario, folder)
    return _PLAYED[scenario.name]


@pytest.mark.parametrize("scenario", _SCENARIOS, ids=lambda each: each.name)
async def test_a_scenario_comes_out_as_it_says(scenario: Scenario, tmp_path: Path) -> None:
    """Nothing differs from what the file expects."""
    outcome = await played(scenario, tmp_path)
    assert not outcome.differences, "\n".join(outcome.differences)


async def test_every_pair_of_the_table_is_reached(tmp_path: Path) -> None:
    """Together they take every legal transition, and no other one."""
    reached: set[tuple[State, State]] = set()
    for number, scenario in enumerate(_SCENARIOS):
        folder = tmp_path / str(number)
        folder.mkdir()
        reached |= (await played(scenario, folder)).pairs
    assert reached == {(b, a) for b, following in TRANSITIONS.items() for a in following}


@pytest.mark.parametrize("scenario", _SCENARIOS[::8], ids=lambda each: each.name)
async def test_a_scenario_can_fail(scenario: Scenario, tmp_path: Path) -> None:
    """Everything that it expects is looked at: expecting anything else is noticed."""
    changed = [(_otherwise(expect), where) for expect, where in scenario.expect]
    outcome = await outcome_of(replace(scenario, expect=changed), tmp_path)
    assert len(outcome.differences) == sum(_claims(expect) for expect, _ in changed)


def test_what_the_runbook_asks_for_is_covered() -> None:
    """Requirements, conflicts, traps and guardrails: each by a scenario that names it."""
    covered = {name for scenario in _SCENARIOS for name in scenario.covers}
    guards = {guard.__name__ for guard in GUARDRAILS}
    guards = {_SPENT if name.endswith(_SPENT) else name for name in guards}
    assert [name for name in [*_WANTED, *sorted(guards)] if name not in covered] == []


def test_no_two_scenarios_are_the_same() -> None:
    """Neither by name nor by what happens in them."""
    names = [scenario.name for scenario in _SCENARIOS]
    assert len(set(names)) == len(names)
    stories = [repr((s.given, [entry for entry, _ in s.timeline])) for s in _SCENARIOS]
    assert len(set(stories)) == len(stories)
    assert all(_claims(expect) for s in _SCENARIOS for expect, _ in s.expect)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{at: 5x, targets: red}", "`5x` is not a duration"),
        ("{at: 5s, target: red}", "Object contains unknown field `target`"),
        ("{at: 5s, targets: purple}", "Invalid enum value 'purple' - at `$.targets`"),
        ("{at: 5s, alert: {name: Bad}}", "Object missing required field `branch` - at `$.alert`"),
    ],
)
def test_a_mistake_is_told_with_its_place(entry: str, message: str, tmp_path: Path) -> None:
    """File, line and column of the entry, and what is wrong with it."""
    path = tmp_path / "wrong.yaml"
    text = f"scenario: x\ncovers: []\nruns: 1s\ntimeline:\n  - {entry}\nexpect: []\n"
    path.write_text(text)
    with pytest.raises(DocumentError) as error:
        read_scenarios(path)
    (found,) = error.value.diagnostics
    assert found.headline().startswith("wrong.yaml:5:5: error:")
    assert message in found.message


def _claims(expect: Expect) -> int:
    """How many things are expected."""
    return sum(1 for _ in _claimed(expect))


def _claimed(expect: Expect) -> Iterator[tuple[str, Any]]:
    for name, value in asdict(expect).items():
        if name in {"at", "incident", "scope"} or value is None:
            continue
        if isinstance(value, dict):
            yield from ((name, key) for key in value)
        else:
            yield name, value


def _otherwise(expect: Expect) -> Expect:
    """The same expectation with everything in it wrong."""
    changes: dict[str, Any] = {}
    for name, value in asdict(expect).items():
        if name in {"at", "incident", "scope"} or value is None:
            continue
        changes[name] = _wrong(value)
    return replace(expect, **changes)


def _wrong(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _wrong(each) for key, each in value.items()}
    if isinstance(value, list):
        return [*value, "nobody"]
    if isinstance(value, bool):
        return not value
    return value + 7 if isinstance(value, int | float) else f"{value} or not"
