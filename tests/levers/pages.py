"""The tables of settings and params in docs/levers, and the index of the pages.

`python -m tests.levers.pages` writes them; a test fails while they are out of date.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rollbackd.levers import LEVERS
from rollbackd.levers.catalogue import FieldPage, LeverPage, describe

FOLDER = Path(__file__).parents[2] / "docs" / "levers"
INDEX = FOLDER / "README.md"

_SETTINGS = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)
_INDEX = re.compile(r"(?<=<!-- index -->\n).*?(?=<!-- /index -->)", re.DOTALL)


def page_of(type_: str) -> Path:
    """Where a type of lever is described."""
    return FOLDER / f"{type_}.md"


def with_settings(text: str, type_: str) -> str:
    """The page with the table that the catalogue gives."""
    table = "\n".join(_settings(describe(type_)))
    return _SETTINGS.sub(lambda _: table + "\n" if table else "", text)


def with_index(text: str) -> str:
    """The index with all types."""
    return _INDEX.sub(lambda _: "\n".join(_rows(map(describe, sorted(LEVERS)))) + "\n", text)


def _settings(page: LeverPage) -> Iterator[str]:
    for title, fields in (("setting", page.settings), ("param", page.params)):
        if fields:
            yield f"| {title} | type | default | meaning |"
            yield "|---|---|---|---|"
            yield from map(_row, fields)
            yield ""


def _row(field: FieldPage) -> str:
    default = f"`{field.default}`" if field.default not in ("", "none") else field.default
    cells = [f"`{field.name}`", field.type, default or "must be given", field.description]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _rows(pages: Iterable[LeverPage]) -> Iterator[str]:
    yield "| lever | kind | what it does |"
    yield "|---|---|---|"
    for page in pages:
        built_in = ", built in" if page.built_in else ""
        yield f"| [`{page.type}`]({page.type}.md) | {page.kind}{built_in} | {page.summary} |"


def main() -> None:
    """Write what is out of date."""
    for type_ in LEVERS:
        path = page_of(type_)
        if path.is_file():
            path.write_text(with_settings(path.read_text(), type_))
    INDEX.write_text(with_index(INDEX.read_text()))


if __name__ == "__main__":
    main()
