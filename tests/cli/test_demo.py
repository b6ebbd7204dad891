import asyncio
import os
import re
import signal
import stat
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from rollbackd.cli.demo import daemon_process, drill
from rollbackd.cli.demo.drill import Drill
from rollbackd.cli.demo.scene import Scene
from tests.cli.conftest import Run
from tests.services.polling import eventually

BROKEN = """\
#!/bin/sh
echo oops >&2
exit 7
"""

STUBBORN = """\
#!/bin/sh
trap '' TERM
echo not ready yet
while :; do sleep 0.05; done
"""


def script(folder: Path, text: str) -> Path:
    path = folder / "fake-python"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def ignore(_scene: Scene) -> None:
    pass


def processes_in(folder: Path) -> list[str]:
    """Command lines of running processes that name a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command.replace("\0", " "))
    return found


async def start_demo(folder: Path) -> Process:
    """The real command, with its temporary files inside `folder`."""
    (folder / "tmp").mkdir()
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rollbackd", "demo", "--keep", str(folder / "kept"),
        stdout=PIPE, stderr=PIPE,
        env={**os.environ, "TMPDIR": str(folder / "tmp"), "COLUMNS": "100", "NO_COLOR": "1"},
        # a shell that runs the tests in the background has it ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


@pytest.mark.slow
async def test_the_demo_ends_in_a_closed_incident(tmp_path: Path) -> None:
    """In under a minute, with a post-mortem, and nothing is left running or lying around."""
    started = time.monotonic()
    demo = await start_demo(tmp_path)
    out, errors = await demo.communicate()
    took = time.monotonic() - started
    text = out.decode()
    assert demo.returncode == 0, text + errors.decode()
    assert took < 60
    assert re.fullmatch(r"incident \S+ quality_regression closed", text.splitlines()[-1])
    for said in (
        "its clock runs 40 times as fast",
        "detected => capturing: trigger_fired",
        "choosing => flipping: lever_chosen (flag_off:canary@rag/eu)",
        "watching => restoring: hold_complete",
        "canary 0%, switched off",
        "blocked (non_idempotent)",
    ):
        assert said in text
    (report,) = (tmp_path / "kept").glob("*/report.md")
    assert f"as a page    {report.with_suffix('.html')}" in text
    told = report.read_text()
    assert set(re.findall(r"^- `(\w+)` = ", told, re.MULTILINE)) == {"QualityDrift"}
    assert "| prompt prompt-pack | p-2026.11.08 | p-2026.11.22 |" in told
    assert list((tmp_path / "tmp").iterdir()) == []
    assert processes_in(tmp_path / "tmp") == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_demo_that_is_interrupted_takes_its_daemon_along(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Nothing is left running, and nobody sees a traceback."""
    demo = await start_demo(tmp_path)
    assert demo.stdout is not None
    while b"healthy traffic" not in await demo.stdout.readline():
        assert demo.returncode is None
    assert processes_in(tmp_path / "tmp")
    demo.send_signal(number)
    _, errors = await demo.communicate()
    assert demo.returncode == 128 + number
    assert b"Traceback" not in errors
    assert processes_in(tmp_path / "tmp") == []
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_a_daemon_that_does_not_start_is_a_bad_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its exit code is told, and its log can be shown."""
    monkeypatch.setattr(sys, "executable", str(script(tmp_path, BROKEN)))
    play = Drill(tmp_path, ignore)
    ending = await play.run()
    assert not ending.good
    assert ending.problem == "the daemon ended with exit code 7"
    assert play.daemon.log_tail() == ["oops"]


async def test_a_daemon_that_hangs_is_given_up_and_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it does not listen to SIGTERM."""
    monkeypatch.setattr(sys, "executable", str(script(tmp_path, STUBBORN)))
    monkeypatch.setattr(drill, "_READY_SECONDS", 0.4)
    monkeypatch.setattr(daemon_process, "_STOP_SECONDS", 0.2)
    ending = await Drill(tmp_path, ignore).run()
    assert "the daemon was not ready after 0.4 s: cannot reach" in ending.problem

    async def gone() -> bool:
        return processes_in(tmp_path) == []

    await eventually(gone, within_seconds=5)


async def test_the_deadline_ends_a_demo_that_gets_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason."""
    monkeypatch.setattr(sys, "executable", str(script(tmp_path, STUBBORN)))
    monkeypatch.setattr(drill, "DEADLINE_SECONDS", 0.3)
    monkeypatch.setattr(daemon_process, "_STOP_SECONDS", 0.2)
    ending = await Drill(tmp_path, ignore).run()
    assert ending.problem == "not closed within 0.3 s"


def test_a_bad_ending_is_exit_code_one_with_the_daemons_log(tmp_path: Path) -> None:
    """The last line still says how it ended."""
    fake = script(tmp_path, BROKEN)
    code = (
        "import sys; from rollbackd.cli.main import main;"
        f"sys.executable = {str(fake)!r};"
        f"sys.argv = ['rollbackd', 'demo', '--keep', {str(tmp_path)!r}];"
        "main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == "no incident was opened"
    assert "the demo failed: the daemon ended with exit code 7" in result.stderr
    assert "oops" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_that_cannot_keep_the_post_mortem_is_told_before_the_demo(
    run: Run, tmp_path: Path
) -> None:
    """Not after half a minute."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = run("demo", "--keep", str(blocked / "kept"))
    assert result.exit_code == 1
    assert "cannot leave the post-mortem" in result.stderr
