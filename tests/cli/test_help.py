"""Help pages, as a stranger reads them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from rollbackd.cli.main import app
from tests.cli.conftest import Run


def every_command() -> list[tuple[str, ...]]:
    """Those of groups, too."""

    def below(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, command in group.commands.items():
            yield (*path, name)
            yield from below(command, (*path, name)) if hasattr(command, "commands") else ()

    return [(), *below(typer.main.get_command(app), ())]


def test_help_lists_every_command(run: Run) -> None:
    """A stranger finds each command on one page."""
    page = run("--help")
    assert page.exit_code == 0
    names = [command[0] for command in every_command() if len(command) == 1]
    assert [name for name in names if f" {name} " not in page.stdout] == []


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_each_command_explains_itself(run: Run, command: tuple[str, ...]) -> None:
    """Each help page has a sentence of its own, and no names of Python types."""
    page = run(*command, "--help")
    assert page.exit_code == 0
    assert len(page.stdout) > 200
    choices = re.compile(r"<[a-z]+(\|[a-z]+)+>")
    assert re.findall(r"<.*?>|\[\[|list\[|\brange\b|function", choices.sub("", page.stdout)) == []


def test_defaults_that_a_help_text_names_are_shown(run: Run) -> None:
    """In brackets, which rich reads as markup where they are not escaped."""
    page = run("generate", "--help").stdout
    for default in ("20m", "-"):
        assert f"[default: {default}]" in page
