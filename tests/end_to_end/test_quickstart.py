"""docs/quickstart.md, followed to the letter: files, commands, and what they show."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.end_to_end.daemon import DaemonProcess
from tests.services.polling import eventually

TEXT = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text()
FILES = dict(re.findall(r"^`([\w.]+)`\n\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
CONSOLES = re.findall(r"^```console\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
#: What differs from run to run.
VARYING = re.compile(r"INC-\S+|\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ|\d+ ms")


def told(text: str) -> list[str]:
    """The words, with what varies made equal."""
    return VARYING.sub("...", text).split()


def commands(console: str) -> list[tuple[str, str]]:
    """Each command with what is shown below it."""
    parts = re.split(r"^\$ (.*)\n", console, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


class Reader:
    """Somebody who types what the page says, in one folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url

    async def types(self, command: str) -> str:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ROLLBACKD_URL": self._url,
            "NO_COLOR": "1",
            "COLUMNS": "200",
        }
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            command.replace("http://127.0.0.1:9797", self._url),
            cwd=self._folder,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        shown, _ = await process.communicate()
        return shown.decode()


@pytest.fixture
def daemon(tmp_path: Path) -> DaemonProcess:
    """The page's own config, but for the port."""
    daemon = DaemonProcess(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    with daemon.config.open("a") as config:
        config.write(f"http: {{port: {daemon.port}}}\n")
    return daemon


async def test_a_reader_gets_from_an_event_to_a_firing_rule(
    tmp_path: Path, daemon: DaemonProcess
) -> None:
    """Every command shows what the page says it shows."""
    reader = Reader(tmp_path, daemon.url)
    sample, check, send, see = map(commands, CONSOLES)
    for command, shown in (*sample, *check):
        assert told(await reader.types(command)) == told(shown)
    async with daemon:
        for command, shown in send:
            assert told(await reader.types(command)) == told(shown)
        ((command, shown),) = see

        async def fired() -> bool:
            return told(await reader.types(command)) == told(shown)

        await eventually(fired, within_seconds=60, every_seconds=0.5)


def test_the_kafka_config_of_the_page_names_the_mapping_of_the_page() -> None:
    assert "- {name: answers, mapping: answers}" in TEXT
    assert set(FILES) == {"answer.json", "answers.yaml", "rules.yaml", "rollbackd.yaml"}
