import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from rollbackd.cli.failures import FailureError
from rollbackd.cli.running import with_usable_state_dir
from rollbackd.settings import Settings
from tests.cli.conftest import Run
from tests.services.polling import eventually
from tests.services.processes import free_port


def write_config(folder: Path, text: str) -> Path:
    path = folder / "rollbackd.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("htttp: {}\n", "did you mean `http`?"),
        ("http: {port: many}\nstore: tape\n", "(value/choice)"),
        ("store: redis\n", "(config/no-redis)"),
        ("a: &x 1\nb: *x\n", "(yaml/alias)"),
        ("http: {host: 0.0.0.0}\n", "(config/open-listener)"),
    ],
)
def test_a_bad_config_is_told_with_its_positions(
    run: Run, tmp_path: Path, text: str, said: str
) -> None:
    """Every problem at once, and exit code 1."""
    config = write_config(tmp_path, text)
    result = run("run", "--config", str(config))
    assert result.exit_code == 1
    assert said in result.stderr
    assert f"{config}:" in result.stderr
    assert "Traceback" not in result.output


def test_a_config_that_is_not_there_is_told(run: Run, tmp_path: Path) -> None:
    """No traceback."""
    result = run("run", "--config", str(tmp_path / "none.yaml"))
    assert result.exit_code == 1
    assert "cannot read the file: No such file or directory" in result.stderr


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    """The operator can mend it, so no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = write_config(tmp_path, f"state_dir: state\nhttp: {{port: {port}}}\n")
        result = subprocess.run(
            [sys.executable, "-m", "rollbackd", "run", "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: the daemon cannot run: ")
    assert "Traceback" not in result.stderr


async def test_the_daemon_runs_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """Ready on its port, and exit code 0 after SIGTERM."""
    port = free_port()
    config = write_config(tmp_path, f"state_dir: state\nhttp: {{port: {port}}}\n")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220  # it does not block for long
            [sys.executable, "-m", "rollbackd", "run", "--config", str(config)], stderr=log
        )
    try:
        async with aiohttp.ClientSession() as session:

            async def ready() -> bool:
                assert process.poll() is None, (tmp_path / "log").read_text()
                try:
                    async with session.get(f"http://127.0.0.1:{port}/-/ready") as answer:
                        return answer.status == 200
                except aiohttp.ClientConnectorError:
                    return False

            await eventually(ready, within_seconds=30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_a_state_folder_that_was_asked_for_is_used_or_refused(tmp_path: Path) -> None:
    """It never gives way silently."""
    good = Settings(state_dir=tmp_path / "new" / "state")
    assert with_usable_state_dir(good) is good
    assert good.state_dir.is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(FailureError, match="cannot write to the state folder"):
        with_usable_state_dir(Settings(state_dir=tmp_path / "file" / "state"))


def test_the_default_state_folder_gives_way_to_one_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who is not root can try it, and is told where the state is."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr("rollbackd.cli.running._DEFAULT_STATE", blocked / "state")
    settings = Settings(state_dir=blocked / "state")
    home = tmp_path / "home"
    used = with_usable_state_dir(settings, home=home)
    assert used.state_dir == home / ".local/state/rollbackd"
    assert os.access(used.state_dir, os.W_OK)
    assert used.state_dir.stat().st_mode & 0o077 == 0
    assert "state is kept in" in capsys.readouterr().err
    with pytest.raises(FailureError, match="nor to"):
        with_usable_state_dir(settings, home=blocked)


def test_a_bad_rule_file_keeps_the_daemon_from_starting(run: Run, tmp_path: Path) -> None:
    """With its position, like every problem of a document."""
    (tmp_path / "rules.yaml").write_text("groups:\n  - nme: g\n")
    config = write_config(tmp_path, "state_dir: state\nrules: [rules.yaml]\n")
    result = run("run", "--config", str(config))
    assert result.exit_code == 1
    assert f"{tmp_path}/rules.yaml:2:" in result.stderr
    assert "Traceback" not in result.output
