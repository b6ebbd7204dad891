"""Programs of this machine: what they get, what bounds them, and that nothing of them is left."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rollbackd.connections.program import MAX_OUTPUT_BYTES, Command, Ended, run, untrusted
from rollbackd.errors import PermanentError, TemporaryError
from tests.services.polling import eventually

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes users and owners")

#: Starts a child that stays, in a session of its own where it is told so, and says which it is.
_CHILD = """
import subprocess, sys
own_session = sys.argv[1] == "escapes"
child = subprocess.Popen(["/bin/sleep", "600"], start_new_session=own_session)
print(child.pid, flush=True)
"""


def script(folder: Path, text: str, *, name: str = "program") -> Path:
    """A Python program that only its owner may write."""
    path = folder / name
    path.write_text(f"#!{sys.executable} -IS\n{text}")
    path.chmod(0o755)
    return path


async def ran(program: Path | str, *arguments: str, **more: object) -> Ended:
    """One run under short limits."""
    given = {"program": Path(program), "timeout_seconds": 20.0, **more}
    return await run(Command(**given), arguments)  # type: ignore[arg-type]


async def gone(pid: int) -> None:
    """Wait until there is no such process, or only its entry for who has to reap it."""

    async def is_gone() -> bool:
        with contextlib.suppress(FileNotFoundError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            return state == "Z"
        return True

    await eventually(is_gone, within_seconds=10)


async def test_the_environment_is_what_was_named(tmp_path: Path) -> None:
    """Nothing of the daemon's own; a secret comes from its file at each run."""
    key = tmp_path / "key"
    key.write_text("hunter2\n")
    ended = await ran("/usr/bin/env", environment={"LANG": "C"})
    assert ended.output == b"LANG=C\n"
    ended = await ran("/usr/bin/env", environment={"LANG": "C"}, secret_files={"KEY": key})
    assert ended.output == b"LANG=C\nKEY=***\n"
    assert (await ran("/usr/bin/env")).output == b""


async def test_standard_input_is_closed() -> None:
    assert (await ran("/bin/cat")).output == b""


async def test_it_runs_where_it_is_told(tmp_path: Path) -> None:
    assert (await ran("/bin/pwd")).output == b"/\n"
    assert (await ran("/bin/pwd", cwd=tmp_path)).output.decode().strip() == str(tmp_path)
    with pytest.raises(PermanentError, match="cannot be run: No such file"):
        await ran("/bin/pwd", cwd=tmp_path / "none")


async def test_no_shell_reads_the_arguments() -> None:
    arguments = ["a b", "$(id)", "; rm -rf /", "'\"", "*", ""]
    ended = await ran("/usr/bin/printf", "%s|", *arguments)
    assert ended.output.decode() == "".join(f"{argument}|" for argument in arguments)


async def test_how_it_ended_is_told(tmp_path: Path) -> None:
    """With what it said on standard error, in one line and without the secrets."""
    key = tmp_path / "key"
    key.write_text("hunter2")
    text = 'import os, sys\nprint("out", os.environ["KEY"])\n'
    text += 'sys.stderr.write("no\\nway, " + os.environ["KEY"])\nsys.exit(3)\n'
    ended = await ran(script(tmp_path, text), secret_files={"KEY": key})
    assert ended == Ended(status=3, output=b"out ***\n", errors="no way, ***")
    killed = script(tmp_path, "import os\nos.kill(os.getpid(), 9)\n", name="killed")
    assert (await ran(killed)).status == -signal.SIGKILL


async def test_a_program_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    """It may ignore every signal that can be ignored."""
    told = tmp_path / "pids"
    text = f"""
import os, signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["/bin/sleep", "600"])
open({str(told)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
time.sleep(600)
"""
    with pytest.raises(TemporaryError, match=r"did not end within 3 s and was killed"):
        await ran(script(tmp_path, text), timeout_seconds=3.0)
    for pid in told.read_text().split():
        await gone(int(pid))


async def test_a_child_that_is_left_behind_is_killed(tmp_path: Path) -> None:
    """Though it holds the output open, which nobody waits for."""
    ended = await ran(script(tmp_path, _CHILD), "stays")
    assert ended.status == 0
    await gone(int(ended.output))


async def test_a_child_that_has_escaped_holds_nobody_up(tmp_path: Path) -> None:
    """In a session of its own it is out of reach; the run ends all the same."""
    ended = await ran(script(tmp_path, _CHILD), "escapes")
    pid = int(ended.output)
    try:
        assert ended.status == 0
        os.kill(pid, 0)
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_no_zombie_is_left() -> None:
    """Each run is reaped."""
    await ran("/bin/true")
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if not children.exists():
        pytest.skip("the kernel lists no children")
    for pid in children.read_text().split():
        with contextlib.suppress(FileNotFoundError):
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
            assert not (name == "true" and rest.split()[0] == "Z")


async def test_a_flood_of_output_is_refused(tmp_path: Path) -> None:
    """As much as is allowed is taken."""
    with pytest.raises(PermanentError, match=f"writes over {MAX_OUTPUT_BYTES} bytes"):
        await ran("/usr/bin/yes")
    for size, fits in ((MAX_OUTPUT_BYTES, True), (MAX_OUTPUT_BYTES + 1, False)):
        made = script(tmp_path, f'print("x" * {size}, end="")\n', name=f"flood-{size}")
        if fits:
            assert len((await ran(made)).output) == size
        else:
            with pytest.raises(PermanentError, match="writes over"):
                await ran(made)


async def test_a_flood_of_errors_is_cut_and_does_not_hang(tmp_path: Path) -> None:
    """And no half of a secret stands where it was cut."""
    key = tmp_path / "key"
    key.write_text("hunter2" * 1_000)
    text = 'import os, sys\nsys.stderr.write(os.environ["KEY"] * 40)\nsys.exit(1)\n'
    ended = await ran(script(tmp_path, text), secret_files={"KEY": key})
    assert (ended.status, ended.errors) == (1, "***")


async def test_a_run_that_is_cancelled_is_killed(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    text = f'import os, time\nopen({str(told)!r}, "w").write(str(os.getpid()))\ntime.sleep(600)\n'
    running = asyncio.create_task(ran(script(tmp_path, text), timeout_seconds=60.0))

    async def is_told() -> str:
        return told.read_text() if told.exists() else ""

    pid = int(await eventually(is_told, within_seconds=20))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(pid)


async def test_a_long_run_holds_nobody_else_up(tmp_path: Path) -> None:
    """It has a thread of its own, whatever else the loop's pool is needed for."""
    told, go_on = tmp_path / "begun", tmp_path / "go"
    text = f"""
import os, time
open({str(told)!r}, "w").close()
while not os.path.exists({str(go_on)!r}):
    time.sleep(0.01)
"""

    async def has_begun() -> bool:
        return told.exists()

    with ThreadPoolExecutor(1) as only_one:
        asyncio.get_running_loop().set_default_executor(only_one)
        running = asyncio.create_task(ran(script(tmp_path, text), timeout_seconds=60.0))
        await eventually(has_begun, within_seconds=20)
        async with asyncio.timeout(20):
            await asyncio.to_thread(go_on.touch)
        assert (await running).status == 0


def test_a_program_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    """Nor one in a folder where they could replace it, unless the sticky bit keeps them from it."""
    folder = tmp_path / "bin"
    folder.mkdir(mode=0o755)
    made = script(folder, "")
    link = tmp_path / "link"
    link.symlink_to(made)
    assert untrusted(made) == untrusted(link) == ""
    for path, mode in ((made, 0o757), (made, 0o775), (folder, 0o777), (folder, 0o770)):
        before = path.stat().st_mode
        path.chmod(mode)
        because = "can be written by its group or by everybody (`chmod go-w`)"
        assert untrusted(link) == f"`{path}` {because}"
        path.chmod(before)
    folder.chmod(0o1777)
    assert untrusted(made) == ""


def test_what_is_no_program_is_not_run(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    plain.chmod(0o644)
    assert untrusted(tmp_path / "none") == f"`{tmp_path / 'none'}`: No such file or directory"
    for path in (plain, tmp_path):
        assert untrusted(path) == f"`{path}` is no program that can be run"


@needs_root
def test_a_program_of_somebody_else_is_not_trusted(tmp_path: Path) -> None:
    made = script(tmp_path, "")
    os.chown(made, 65534, 65534)
    assert "belongs to neither root nor the user" in untrusted(made)


async def test_it_is_looked_at_before_each_run(tmp_path: Path) -> None:
    made = script(tmp_path, 'print("ran")\n')
    assert (await ran(made)).output == b"ran\n"
    made.chmod(0o777)
    with pytest.raises(PermanentError, match="and is not run"):
        await ran(made)


@needs_root
async def test_another_user_has_none_of_the_rights_of_this_one() -> None:
    """Neither its groups."""
    assert (await ran("/usr/bin/id", "-u", user="nobody")).output == b"65534\n"
    groups = (await ran("/usr/bin/id", "-G", user="nobody")).output.split()
    assert b"0" not in groups
    with pytest.raises(PermanentError, match="there is no user `nobody-at-all`"):
        await ran("/bin/true", user="nobody-at-all")


@needs_root
def test_without_the_right_it_says_which_one_is_needed() -> None:
    """In a process that is nobody, another user cannot be had."""
    text = """
import asyncio, concurrent.futures.thread, os
from pathlib import Path
from rollbackd.connections.program import Command, run
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    asyncio.run(run(Command(program=Path("/bin/true"), user="root"), []))
except Exception as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith(
        "`/bin/true` cannot be run as `root`, which needs CAP_SETUID and CAP_SETGID"
    )


async def test_a_secret_that_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="none: No such file"):
        await ran("/bin/true", secret_files={"KEY": tmp_path / "none"})
