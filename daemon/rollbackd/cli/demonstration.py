"""`rollbackd demo`."""

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from rollbackd.cli.demo.drill import Drill, Ending
from rollbackd.cli.demo.live import Screen
from rollbackd.cli.demo.plain import PlainLines
from rollbackd.cli.demo.summary import keep_report, last_line, print_summary
from rollbackd.cli.failures import FAILED, FailureError

#: What a shell reports for a process that SIGTERM ended.
_TERMINATED: Final = 128 + signal.SIGTERM


def demo(
    keep: Annotated[
        Path, typer.Option("--keep", metavar="FOLDER", help="Where the post-mortem is left.")
    ] = Path("rollbackd-demo"),
    plain: Annotated[
        bool, typer.Option("--plain", help="Print lines, also when there is a terminal.")
    ] = False,
) -> None:
    """Watch rollbackd catch a bad canary and take it back, in under a minute.

    Starts a real daemon with the shipped rules in a temporary folder, its time forty times as
    fast, and plays a recorded rollout into it. Nothing is left running; only the post-mortem is
    kept.
    """
    console = Console()
    _check_writable(keep)
    with tempfile.TemporaryDirectory(prefix="rollbackd-demo-") as folder:
        try:
            drill, ending = asyncio.run(_perform(console, Path(folder), plain=plain))
        except asyncio.CancelledError:
            raise typer.Exit(_TERMINATED) from None
        report = keep_report(ending, keep)
        print_summary(console, drill.scene, ending, report)
        if not ending.good:
            _print_problem(drill, ending)
    print(last_line(ending))
    if not ending.good:
        raise typer.Exit(FAILED)


def _check_writable(keep: Path) -> None:
    """Raise FailureError when the post-mortem could not be left there; leaves nothing behind."""
    existed = keep.exists()
    try:
        keep.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=keep):
            pass
        if not existed:
            keep.rmdir()
    except OSError as error:
        raise FailureError(
            f"cannot leave the post-mortem in `{keep}`: {error.strerror}",
            fix="name another folder with --keep",
        ) from None


async def _perform(console: Console, folder: Path, *, plain: bool) -> tuple[Drill, Ending]:
    # A demo that is told to go must not leave its daemon behind.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if plain or not console.is_terminal or console.is_dumb_terminal:
        drill = Drill(folder, PlainLines(console).show)
        return drill, await drill.run()
    drill = Drill(folder, lambda _scene: None)
    screen = Screen(lambda: drill.scene, lambda: console.width)
    with Live(screen, console=console, screen=True):
        return drill, await drill.run()


def _print_problem(drill: Drill, ending: Ending) -> None:
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"[bold red]the demo failed:[/] {ending.problem or last_line(ending)}")
    for line in drill.daemon.log_tail():
        console.print(f"  {line}", style="dim", markup=False, highlight=False)
