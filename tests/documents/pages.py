"""The pages of docs/diagnostics: reads them, plays their examples, writes the index.

`python -m tests.documents.pages` puts the messages that the examples really give into the pages and
writes README.md anew; a test fails while either is out of date.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from unittest import mock

from typer.testing import CliRunner

from rollbackd.cli.main import app
from rollbackd.documents.catalogue import SUMMARIES

FOLDER = Path(__file__).parents[2] / "docs" / "diagnostics"
INDEX = FOLDER / "README.md"
_TABLE = re.compile(r"(?<=<!-- index -->\n).*(?=<!-- end of index -->)", re.DOTALL)

SECTIONS = ("Why it is a problem", "Example", "Fix")
_FILE = re.compile(r"^`([\w.-]+)`\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    path: Path
    text: str

    @property
    def id(self) -> str:
        return str(self.path.relative_to(FOLDER).with_suffix(""))

    @property
    def sections(self) -> tuple[str, ...]:
        return tuple(re.findall(r"^## (.*)$", self.text, re.MULTILINE))

    @property
    def files(self) -> dict[str, str]:
        return dict(_FILE.findall(self.text))

    @property
    def console(self) -> str:
        (console,) = _CONSOLE.findall(self.text)
        return str(console)

    @property
    def commands(self) -> list[str]:
        return [line[2:] for line in self.console.splitlines() if line.startswith("$ ")]


def pages() -> list[Page]:
    return [Page(path, path.read_text()) for path in sorted(FOLDER.glob("*/*.md"))]


def play(page: Page) -> str:
    """What the console shows when the example is followed in an empty folder."""
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder, chdir(folder), _plain_user():
        for name, text in page.files.items():
            Path(name).write_text(text)
        for command in page.commands:
            lines.append(f"$ {command}\n")
            program, *arguments = command.split()
            if program == "rollbackd":
                result = CliRunner().invoke(app, arguments)
                if result.exception and not isinstance(result.exception, SystemExit):
                    raise result.exception
                lines.append(result.stderr)
            else:
                done = subprocess.run(["bash", "-c", command], check=True, capture_output=True)
                lines.append(done.stdout.decode())
    return "".join(lines)


def index() -> str:
    """README.md with the table of all ids."""
    return _TABLE.sub(lambda _: "\n".join(_rows()) + "\n", INDEX.read_text())


def _rows() -> Iterator[str]:
    for family, ids in groupby(sorted(SUMMARIES), key=lambda id_: id_.split("/")[0]):
        yield ""
        yield f"### {family}" if family != "lint" else "### Lints"
        yield ""
        yield "| id | what it says |"
        yield "|---|---|"
        for id_ in ids:
            yield f"| [`{id_}`]({id_}.md) | {SUMMARIES[id_]} |"
    yield ""


@contextmanager
def _plain_user() -> Iterator[None]:
    """No colours, no credentials, and root may read no more than what the mode says."""

    def may_read(path: Path, _mode: int) -> bool:
        return bool(path.stat().st_mode & 0o444)

    with (
        mock.patch.dict(os.environ, {"NO_COLOR": "1", "COLUMNS": "100"}),
        mock.patch("os.access", may_read),
    ):
        os.environ.pop("CREDENTIALS_DIRECTORY", None)
        yield


def _write() -> None:
    for page in pages():
        shown = play(page)
        page.path.write_text(_CONSOLE.sub(lambda _, s=shown: f"```console\n{s}```", page.text))
    INDEX.write_text(index())


if __name__ == "__main__":
    _write()
