"""What is special about levers that are a program."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.clock import ManualClock
from rollbackd.documents.reader import DocumentError
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.exec import Exec, ExecSettings
from rollbackd.levers.lever_type import Surroundings
from rollbackd.model.levers import LeverKind, Target
from rollbackd.ports import Controls
from rollbackd.rulefmt.lever_file import read_lever_file
from tests.levers.external.exec_world import ExecWorld, program
from tests.levers.external.world import SCOPE, op

of_exec = pytest.mark.parametrize("world_type", [ExecWorld], indirect=True)

SWITCH = Target(lever="switch", scope=SCOPE, name="edge")
#: Prints its arguments as a JSON object.
ECHO = "import json, sys\nprint(json.dumps({'arguments': sys.argv[1:]}))\n"


def lever(controls: Controls, made: Path, **more: Any) -> Exec:
    """It is called `switch`, and is asked by its arguments alone."""
    given: dict[str, Any] = {"observe": ["get"], "move": ["set"], "timeout": 5_000, **more}
    settings = ExecSettings(program=str(made), **given)
    return Exec("switch", settings, Surroundings(controls, ManualClock()))


@pytest.mark.parametrize(
    "name",
    ["a b", "a'b", 'a"b', "a/b", "../x", "{name}", "{{", "$(id)", "; rm -rf /", "*", "a\\", "é"],
)
async def test_a_name_is_one_argument(controls: Controls, tmp_path: Path, name: str) -> None:
    """However it is spelled, alone and within an argument."""
    mine = lever(controls, program(tmp_path, "echo", ECHO), observe=["{name}", "--of={name}/x"])
    seen = await mine.observe(replace(SWITCH, name=name))
    assert seen.value == {"arguments": [name, f"--of={name}/x"]}


@pytest.mark.parametrize("name", ["-rf", "--help", "a\0b", "a\nb", "\x1b[2J"])
async def test_what_would_be_an_option_or_no_text_is_refused(
    controls: Controls, tmp_path: Path, name: str
) -> None:
    """And nothing is run."""
    mine = lever(controls, program(tmp_path, "echo", ECHO), observe=["{name}"])
    with pytest.raises(PermanentError, match=r"option|control character"):
        await mine.observe(replace(SWITCH, name=name))


async def test_the_exit_status_says_whether_it_may_pass(controls: Controls, tmp_path: Path) -> None:
    """75 is EX_TEMPFAIL, and a signal is nobody's answer; every other one is final."""
    text = "import os, sys\nprint('so it is', file=sys.stderr, flush=True)\n"
    text += "os.kill(os.getpid(), 9) if sys.argv[1] == '-9' else sys.exit(int(sys.argv[1]))\n"
    made = program(tmp_path, "ends", text)
    for status, error in ((75, TemporaryError), (-9, TemporaryError), (1, PermanentError)):
        with pytest.raises(error, match=r"switch:edge.*: so it is"):
            await lever(controls, made, observe=[str(status)]).observe(SWITCH)


@pytest.mark.parametrize("printed", ["", "[1]", "{", "7", '{"a": 1} {"b": 2}'])
async def test_what_is_no_object_is_named(controls: Controls, tmp_path: Path, printed: str) -> None:
    made = program(tmp_path, "odd", f"print({printed!r})\n")
    with pytest.raises(PermanentError, match="prints no JSON object"):
        await lever(controls, made).observe(SWITCH)


@of_exec
async def test_a_secret_stands_in_no_error(world: ExecWorld) -> None:
    """Whatever the program says."""
    source = "import os, sys\nsys.exit('the key is ' + os.environ['KEY'])\n"
    program(world.folder, "switchctl", source)
    with pytest.raises(PermanentError, match=r"the key is \*\*\*") as refused:
        await world.lever.observe(world.target)
    assert world.secret not in str(refused.value)
    assert world.secret not in repr(world.lever)


@of_exec
@pytest.mark.parametrize("moved", [False, True], ids=["before", "after"])
async def test_a_move_that_is_killed_is_looked_for(world: ExecWorld, *, moved: bool) -> None:
    """Killed before or after its effect: the next try reads first, and moves once in all."""
    change = await world.change()
    path = world.folder / "switchctl"
    whole = path.read_text()
    effect = "        written.replace(path)\n"
    dies = "        os.kill(os.getpid(), 9)\n"
    assert whole.count(effect) == 1
    struck = whole.replace(effect, effect + dies if moved else dies + effect)
    path.write_text(struck)
    with pytest.raises(TemporaryError, match="killed by signal 9"):
        await world.lever.apply(change, op())
    path.write_text(whole)
    applied = await world.lever.apply(change, op())
    assert applied.replayed is moved
    assert await world.changes() == 1
    assert await world.lever.verify(change)


@of_exec
async def test_a_reader_that_lags_is_waited_for(world: ExecWorld) -> None:
    """`verify` is run beside `observe`."""
    change = await world.change()
    mine = lever(world.controls, program(world.folder, "echo", ECHO), verify=["x"])
    assert not await mine.seen_by_readers(change)
    same = f"print({json.dumps(json.dumps(change.after))})\n"
    mine = lever(world.controls, program(world.folder, "same", same), verify=["x"])
    assert await mine.seen_by_readers(change)


@of_exec
async def test_a_temporary_measure_is_given_back_by_its_own_arguments(world: ExecWorld) -> None:
    """`revert` in place of `move`."""
    assert isinstance(world.lever, Exec)
    revert = ["set", "{after.target}", "given back by {op_id}"]
    kept = world.lever._settings  # the world's own, with a change
    world.build(replace(kept, kind="temporary", wanted=world.good, revert=revert))
    assert world.lever.kind is LeverKind.TEMPORARY
    applied = await world.lever.apply(await world.change(), op())
    assert await world.lever.revert(applied, op("INC-1:2"))
    assert await world.held() == world.bad
    assert json.loads(world.file.read_text())["note"] == "given back by INC-1:2"


FILE = """levers:
  switch:
    type: exec
    program: PROGRAM
    observe: [get]
    move: [set, "{after.target}"]
"""


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda t: t.replace("PROGRAM", "PROGRAM-none"), "No such file"),
        (lambda t: t.replace("PROGRAM", "program"), "`program` is no absolute path"),
        (lambda t: t.replace("{after", "{before"), ""),
        (lambda t: t.replace("[get]", '["{after.target}"]'), "`observe`: `{after.target}` has no"),
        (lambda t: t.replace("[get]", "get"), "expected a list"),
        (lambda t: t.replace("[get]", "[]"), "the list is empty"),
        (lambda t: t + "    cwd: here\n", "`cwd`: `here` is no absolute path"),
        (lambda t: t + "    timeout: 11m\n", "`timeout` is above `10m`"),
        (lambda t: t + "    environment: {A-B: x}\n", "`A-B` is no name of an environment"),
        (lambda t: t + '    environment: {A: "a\\0b"}\n', "NUL"),
        (lambda t: t + "    secret_files: {KEY: none}\n", "there is no file"),
        (lambda t: t + "    kind: temporary\n", "a `temporary` lever needs `wanted`"),
    ],
)
def test_a_mistake_is_shown_at_load(tmp_path: Path, edit: Callable[[str], str], says: str) -> None:
    """What the messages name is allowed is taken."""
    text = edit(FILE).replace("PROGRAM", str(program(tmp_path, "switchctl", ECHO)))
    file, types = str(tmp_path / "levers.yaml"), {"exec": ExecSettings}
    if not says:
        read_lever_file(text, file=file, types=types, built_in=())
        return
    with pytest.raises(DocumentError) as refused:
        read_lever_file(text, file=file, types=types, built_in=())
    assert says in str(refused.value)


def test_secrets_are_files_beside_the_levers_file(tmp_path: Path) -> None:
    """As every other file is."""
    (tmp_path / "key").write_text("x")
    text = FILE.replace("PROGRAM", str(program(tmp_path, "switchctl", ECHO)))
    text += "    secret_files: {KEY: key}\n"
    file = str(tmp_path / "levers.yaml")
    read = read_lever_file(text, file=file, types={"exec": ExecSettings}, built_in=())
    settings = read["switch"][1]
    assert isinstance(settings, ExecSettings)
    assert settings.secret_files == {"KEY": tmp_path / "key"}


@pytest.mark.parametrize(
    ("more", "act_ms"),
    [
        ({"timeout": 500}, 5_000),
        ({"timeout": 20_000}, 3 * 20_000 + 2_000),
        ({"timeout": 20_000, "facts": ["show"]}, 5 * 20_000 + 2_000),
    ],
)
def test_an_act_has_time_for_all_of_its_runs(
    controls: Controls, tmp_path: Path, more: dict[str, Any], act_ms: int
) -> None:
    """It reads, moves and reads, with the facts of what it reads; none is below the common time."""
    mine = lever(controls, program(tmp_path, "echo", ECHO), **more)
    assert mine.act_timeout_ms == act_ms
