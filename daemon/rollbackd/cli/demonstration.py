"""`rollbackd demo`."""

import asyncio
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from rollbackd.cli.demo.drill import Drill, Ending
from rollbackd.cli.demo.live import Screen
from rollbackd.cli.demo.plain import PlainLines
from rollbackd.cli.demo.summary import keep_report, last_line, print_summary
from rollbackd.cli.failures import FAILED


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
    with tempfile.TemporaryDirectory(prefix="rollbackd-demo-") as folder:
        drill, ending = asyncio.run(_perform(console, Path(folder), plain=plain))
        report = keep_report(ending, keep)
        print_summary(console, drill.scene, ending, report)
        if not ending.good:
            _print_problem(drill, ending)
    print(last_line(ending))
    if not ending.good:
        raise typer.Exit(FAILED)


async def _perform(console: Console, folder: Path, *, plain: bool) -> tuple[Drill, Ending]:
    # A demo that is told to go must not leave its daemon behind.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if plain or not console.is_terminal:
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
