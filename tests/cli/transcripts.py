"""Transcripts of the command line: files, commands, and everything that is printed.

Each `transcripts/*.txt` holds files (`-- name --`), then commands with their output and, when it is
not 0, their exit code. `python -m tests.cli.transcripts` writes what comes out now.
"""

import os
import re
import tempfile
from contextlib import chdir
from pathlib import Path
from unittest import mock

from typer.testing import CliRunner

from rollbackd.cli.main import app

FOLDER = Path(__file__).parent / "transcripts"
_FILE = re.compile(r"^-- (\S+) --\n(.*?)(?=^-- |^\$ )", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ rollbackd (.*)$", re.MULTILINE)


def play(transcript: str) -> str:
    """The transcript with what the commands print in an empty folder with these files."""
    files = _FILE.findall(transcript)
    begin = transcript.index("$ rollbackd ")
    lines = [transcript[:begin]]
    plain = {"NO_COLOR": "1", "COLUMNS": "100"}
    with tempfile.TemporaryDirectory() as folder, chdir(folder), mock.patch.dict(os.environ, plain):
        for name, text in files:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(text)
        for arguments in _COMMAND.findall(transcript[begin:]):
            result = CliRunner().invoke(app, arguments.split())
            if result.exception and not isinstance(result.exception, SystemExit):
                raise result.exception
            lines += [f"$ rollbackd {arguments}\n", result.stderr, result.stdout]
            lines += [f"exit {result.exit_code}\n"] if result.exit_code else []
            lines += ["\n"]
    return "".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.txt")):
        path.write_text(play(path.read_text()))
