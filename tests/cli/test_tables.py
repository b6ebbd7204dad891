"""Tables for people, and for what reads lines."""

import pytest
from rich.text import Text

from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.levers import LEVERS
from rollbackd.levers.catalogue import describe
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon


@pytest.fixture(autouse=True)
def _narrow(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001  # it is wider
    monkeypatch.setenv("COLUMNS", "40")


def test_what_is_piped_has_one_line_a_row(run: Run) -> None:
    """However narrow, each lever and each scenario can be searched with what it does."""
    _, *levers = run("levers").stdout.splitlines()
    assert [line.split()[0] for line in levers] == sorted(LEVERS)
    assert all(
        line.endswith(describe(name).summary)
        for name, line in zip(sorted(LEVERS), levers, strict=True)
    )
    _, *scenarios = run("generate", "--list").stdout.splitlines()
    assert [line.split()[0] for line in scenarios] == list(SCENARIOS)
    assert all(
        line.endswith(each.about) for each, line in zip(SCENARIOS.values(), scenarios, strict=True)
    )


def test_one_lever_is_told_line_by_line(run: Run) -> None:
    page = describe("throttle")
    lines = run("levers", "throttle").stdout.splitlines()
    assert page.summary in lines
    assert len(lines) == len(page.params) + 4


def test_a_terminal_gets_it_folded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """To its width."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    lines = run("levers").stdout.splitlines()
    assert len(lines) > len(LEVERS) + 1
    assert max(len(Text.from_ansi(line).plain.rstrip()) for line in lines) <= 40


def test_answers_of_the_daemon_are_not_folded_either(run: Run, fake: FakeDaemon) -> None:
    """A reason of a hundred words stays in its row."""
    reason = "the vendor changed the model behind the name " * 4
    fake.answer("GET /api/v1/status", {"version": "1", "pause": {"reason": reason.strip()}})
    lines = run("status", "--url", fake.url).stdout.splitlines()
    assert lines == [f"{'version':<9}1", f"{'pause':<9}reason: {reason.strip()}"]
