"""`rollbackd simulate`: what it prints for a good run, for a bad one, and for one seed."""

import json

import pytest

from rollbackd.app.simulation.controls import SimulatedControls
from rollbackd.levers.control_lever import ControlLever
from tests.cli.conftest import Run


def test_a_good_run_says_so(run: Run) -> None:
    """With counts of what happened."""
    result = run("simulate", "--seeds", "10", "--jobs", "1")
    assert result.exit_code == 0
    assert "10 seeds, 0 violations in" in result.output
    for said in ("incidents", "faults: ", "states: ", "closed"):
        assert said in result.output


def test_the_same_as_json(run: Run) -> None:
    """The counts by kind, and no failures."""
    result = run("simulate", "--seeds", "10", "--seed", "5", "--jobs", "1", "--output", "json")
    facts = json.loads(result.stdout)
    assert facts["ok"] is True
    assert (facts["first"], facts["seeds"], facts["failures"]) == (5, 10, [])
    assert facts["states"]["closed"] > 0


def test_a_failing_seed_is_shrunk_and_can_be_played_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The invariant, the shortest schedule, and the command that repeats it."""

    async def believe(*_: object) -> bool:
        return True

    monkeypatch.setattr(ControlLever, "verify", believe)
    result = run("simulate", "--seeds", "3", "--jobs", "1")
    assert result.exit_code == 1
    assert "violated: a receipt is sealed after the read-back" in result.output
    assert "again: rollbackd simulate --seed" in result.output
    assert "without any fault" in result.output
    assert "seeds broke an invariant" in result.output


def test_faults_that_are_needed_are_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that are not are left out."""
    monkeypatch.setattr(SimulatedControls, "is_stale", lambda *_: False)
    result = run("simulate", "--seeds", "50", "--jobs", "1", "--output", "json")
    failures = json.loads(result.stdout)["failures"]
    assert failures[0]["violation"]["invariant"] == "an epoch never goes back at a target"
    assert 0 < len(failures[0]["schedule"]) <= failures[0]["drawn"]
    assert any("stall" in fault for fault in failures[0]["schedule"])


def test_a_story_tells_what_happened(run: Run) -> None:
    """Step by step, of one seed."""
    result = run("simulate", "--seed", "1", "--story", "--jobs", "1")
    assert result.exit_code == 0
    assert "INC-1 Opened: None => detected" in result.output
    assert "1 seeds, 0 violations" in result.output


def test_a_story_of_many_seeds_is_refused(run: Run) -> None:
    """It says what to do."""
    result = run("simulate", "--story")
    assert result.exit_code == 2
    assert "name it with --seed" in " ".join(result.output.split())
