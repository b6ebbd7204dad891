"""`rollbackd pause`, `resume` and `unlatch`: by the daemon, and by a file beside it."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "rollbackd.yaml"
    path.write_text("state_dir: state\n")
    return path


def test_a_local_pause_is_a_file_with_the_reason(run: Run, config: Path) -> None:
    """No daemon is asked; the folder may not be there yet."""
    file = config.parent / "state" / "PAUSED"
    paused = run("pause", "--local", "--reason", "index rebuild", "--config", str(config))
    assert (paused.exit_code, paused.stderr) == (0, "")
    assert paused.stdout == f"paused by {file}; `rollbackd resume --local` ends it\n"
    assert file.read_text() == "index rebuild\n"
    assert list(file.parent.iterdir()) == [file]
    for said in (f"removed {file}\n", f"there is no {file}\n"):
        resumed = run("resume", "--local", "--config", str(config))
        assert (resumed.exit_code, resumed.stdout) == (0, said)
    assert not file.exists()


def test_a_mistake_in_the_config_does_not_prevent_a_stop(run: Run, config: Path) -> None:
    """Whatever can be read of it is enough."""
    config.write_text("pause_file: stop-here\nhtttp: {}\nstore: nonsense\n")
    assert run("pause", "--local", "-r", "x", "--config", str(config)).exit_code == 0
    assert (config.parent / "stop-here").read_text() == "x\n"


def test_a_folder_in_the_way_is_one_clear_line(run: Run, config: Path) -> None:
    """With what the system said."""
    (config.parent / "state" / "PAUSED").mkdir(parents=True)
    for command in (("pause", "-r", "x"), ("resume",)):
        refused = run(*command, "--local", "--config", str(config))
        assert refused.exit_code == 1
        assert "Is a directory" in refused.stderr


def test_a_config_is_for_the_local_file(run: Run, config: Path) -> None:
    """The daemon that is asked over HTTP has its own."""
    for command in (("pause", "-r", "x"), ("resume",)):
        refused = run(*command, "--config", str(config))
        assert refused.exit_code == 2
        assert "it goes with --local" in refused.stderr


def test_unlatch_says_what_was_released(run: Run, fake: FakeDaemon) -> None:
    """Scope and reason reach the daemon."""
    latches = [
        {"branch": "quality_regression", "because": "pulled 3 times"},
        {"branch": "", "because": "the last 2 acts did not end green"},
    ]
    fake.answer("POST /api/v1/unlatch", {"scope": "rag/eu", "released": latches})
    result = run("unlatch", "rag/eu", "--reason", "rebuilt", "--url", fake.url)
    assert fake.last().json() == {"scope": "rag/eu", "reason": "rebuilt"}
    assert result.stdout.splitlines() == [
        "released rag/eu quality_regression: pulled 3 times",
        "released rag/eu every branch: the last 2 acts did not end green",
    ]
