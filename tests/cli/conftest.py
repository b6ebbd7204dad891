from collections.abc import Iterator
from typing import Protocol

import pytest
from typer.testing import CliRunner

from rollbackd.cli.main import app
from tests.cli.fake_daemon import FakeDaemon


class Outcome(Protocol):
    exit_code: int
    stdout: str
    stderr: str
    output: str


class Run(Protocol):
    def __call__(self, *arguments: str) -> Outcome: ...


@pytest.fixture
def fake() -> Iterator[FakeDaemon]:
    daemon = FakeDaemon()
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in this process, 120 columns wide, without colours."""
    for name in ("ROLLBACKD_URL", "ROLLBACKD_TOKEN_FILE", "ROLLBACKD_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    runner = CliRunner()

    def invoke(*arguments: str) -> Outcome:
        result = runner.invoke(app, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result

    return invoke
