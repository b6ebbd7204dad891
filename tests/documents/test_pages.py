"""Every diagnostic has its page, and every page tells the truth."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from rollbackd.documents.catalogue import LINTS, SUMMARIES, DiagnosticId, page_of
from tests.documents.pages import FOLDER, INDEX, SECTIONS, Page, index, pages, play

SOURCE = Path(__file__).parents[2] / "daemon" / "rollbackd"
FAMILIES = "|".join(sorted({id_.split("/")[0] for id_ in SUMMARIES}))
PAGES = pages()


def literals() -> Iterator[tuple[str, Path]]:
    """Every text in the source, but for the catalogue, that looks like an id."""
    for path in SOURCE.rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text())) if path.name != "catalogue.py" else ()
        for node in nodes:
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and re.fullmatch(rf"(?:{FAMILIES})/[a-z-]+", text):
                yield text, path


def test_the_type_and_the_catalogue_name_the_same_ids() -> None:
    """mypy knows the one, the index is made of the other."""
    assert set(get_args(DiagnosticId)) == set(SUMMARIES)


def test_the_source_emits_what_the_catalogue_names_and_nothing_else() -> None:
    """No id is made up, none is left over."""
    emitted = {id_ for id_, _ in literals()} - {"file/disable"}  # a comment, as pint writes it
    assert emitted == set(SUMMARIES)


def test_every_id_has_a_page_and_every_page_has_an_id() -> None:
    """The id in a message is the name of a page."""
    assert {page.id for page in PAGES} == set(SUMMARIES)
    assert all((FOLDER.parents[1] / page_of(id_)).is_file() for id_ in SUMMARIES)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.id)
def test_a_page_has_the_skeleton(page: Page) -> None:
    """What it says, why it is a problem, an example, the fix; for lints, how to silence it."""
    title, _, summary = page.text.split("\n")[:3]
    assert title == f"# `{page.id}`"
    assert summary == next(text for id_, text in SUMMARIES.items() if id_ == page.id)
    assert page.sections == (*SECTIONS, *(("Silence",) if page.id in LINTS else ()))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.id)
def test_the_example_gives_the_message_that_the_page_shows(page: Page) -> None:
    """`python -m tests.documents.pages` writes what is shown now."""
    shown = play(page)
    assert f"({page.id})" in shown
    assert shown == page.console


def test_the_index_is_up_to_date() -> None:
    """`python -m tests.documents.pages` writes it."""
    assert INDEX.read_text() == index()
