"""What the catalogue says is what the checks take and what the pages show."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rollbackd.cli.main import app
from rollbackd.levers import LEVERS
from rollbackd.levers.catalogue import describe, lever_file_schema
from tests.levers.pages import INDEX, page_of, with_index, with_settings

SECTIONS = (
    "What it does",
    "What undoes it",
    "Idempotent by",
    "Verified by",
    "Blast radius",
    "Permissions",
    "Settings",
    "Example",
)


#: Files of secrets, and a program, that an example names.
_FILE = re.compile(r"(?:_file|program|_TOKEN): (/[^\s,}]+)")


@pytest.mark.parametrize("type_", sorted(LEVERS))
def test_everything_describes_itself(type_: str) -> None:
    """A summary, and a meaning for each setting and param."""
    page = describe(type_)
    assert page.summary.endswith(".")
    for field in [*page.settings, *page.params]:
        assert field.description, f"{type_}.{field.name}"


@pytest.mark.parametrize("type_", sorted(LEVERS))
def test_every_lever_has_its_page(type_: str) -> None:
    """With the questions that an on-caller asks, in one order."""
    text = page_of(type_).read_text()
    assert text.startswith(f"# `{type_}`\n")
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert [title for title in titles if title in SECTIONS] == list(SECTIONS)
    assert with_settings(text, type_) == text, "run `python -m tests.levers.pages`"


def test_the_index_is_up_to_date() -> None:
    """`python -m tests.levers.pages` writes it."""
    assert with_index(INDEX.read_text()) == INDEX.read_text()


def test_the_examples_on_the_pages_are_taken(tmp_path: Path) -> None:
    """Each levers file that a page shows passes `rollbackd check`, but for the files it names."""
    for type_ in sorted(LEVERS):
        blocks = re.findall(r"```yaml\n(levers:\n.*?)```", page_of(type_).read_text(), re.DOTALL)
        for number, block in enumerate(blocks):
            text = block
            path = tmp_path / f"{type_}-{number}.yaml"
            for name in _FILE.findall(block):
                made = tmp_path / Path(name).name
                made.write_text("x")
                made.chmod(0o755)
                text = text.replace(name, str(made))
            path.write_text(text)
            result = CliRunner().invoke(app, ["check", str(path)])
            assert result.exit_code == 0, result.output + result.stderr


def test_the_schema_names_every_type() -> None:
    """And nothing that is built in."""
    levers = lever_file_schema()["properties"]["levers"]
    types = {
        each["properties"]["type"]["const"] for each in levers["additionalProperties"]["oneOf"]
    }
    assert types == {name for name, lever in LEVERS.items() if lever.Settings is not None}


def test_the_command_shows_one_type_and_all() -> None:
    """For people and for scripts."""
    listed = CliRunner().invoke(app, ["levers"], env={"COLUMNS": "200"})
    assert all(name in listed.output for name in LEVERS)
    shown = CliRunner().invoke(app, ["levers", "redis_key"], env={"COLUMNS": "200"})
    assert "prefix" in shown.output
    wrong = CliRunner().invoke(app, ["levers", "redis_keys"])
    assert wrong.exit_code == 1
    assert "did you mean `redis_key`?" in wrong.stderr
