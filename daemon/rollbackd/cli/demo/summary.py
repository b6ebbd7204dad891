"""What stays on the screen when the demo is over."""

import shutil
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rollbackd.cli.demo.drill import Ending
from rollbackd.cli.demo.live import drift_panel, steps_table
from rollbackd.cli.demo.scene import Scene
from rollbackd.cli.phrases import span

_PLOT_WIDTH = 100


def keep_report(ending: Ending, keep: Path) -> Path | None:
    """Copy the post-mortem with its evidence out of the temporary folder; where it is now."""
    if ending.detail is None or not ending.detail.report_path:
        return None
    report = Path(ending.detail.report_path)
    if not report.is_file():
        return None
    folder = keep / ending.detail.incident.id
    shutil.copytree(report.parent, folder, dirs_exist_ok=True)
    return folder / report.name


def print_summary(console: Console, scene: Scene, ending: Ending, report: Path | None) -> None:
    """Times, controls before, during and after, and where the post-mortem is."""
    console.print(drift_panel(scene, min(console.width, _PLOT_WIDTH)))
    if ending.detail is None:
        return
    console.print(steps_table(scene.steps()))
    console.print()
    console.print(_times(scene, ending))
    console.print()
    console.print(_controls(scene, ending))
    console.print()
    if report is not None:
        console.print(Text.assemble(("post-mortem  ", "bold"), str(report)), soft_wrap=True)
        if (page := report.with_suffix(".html")).is_file():
            console.print(Text.assemble(("as a page    ", "bold"), str(page)), soft_wrap=True)


def last_line(ending: Ending) -> str:
    """`incident <id> <branch> <state>`, for people and for scripts."""
    if ending.detail is None:
        return "no incident was opened"
    incident = ending.detail.incident
    return f"incident {incident.id} {incident.branch} {incident.state}"


def _times(scene: Scene, ending: Ending) -> Table:
    assert ending.detail is not None
    incident = ending.detail.incident
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("time to")
    table.add_column("of the service", justify="right", style="cyan")
    table.add_column("of your clock", justify="right", style="dim")
    fired = incident.triggers[0].fired_at_ms if incident.triggers else None
    opened = fired or incident.opened_at_ms
    for label, start, end in (
        ("detect, from the canary's first request", ending.canary_at_ms, opened),
        ("flip, from the trigger", opened, incident.flipped_at_ms),
        (
            "be green for the whole hold, from the flip",
            incident.flipped_at_ms,
            incident.green_at_ms,
        ),
        ("close, from the trigger", opened, incident.closed_at_ms),
    ):
        if start is None or end is None:
            table.add_row(label, "-", "-")
        else:
            table.add_row(label, span(end - start), span((end - start) / scene.speed))
    return table


def _controls(scene: Scene, ending: Ending) -> Table:
    assert ending.detail is not None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in ("control", "before", "during", "after"):
        table.add_column(column, overflow="fold")
    for line in scene.control_lines():
        if line.before == line.during == line.now:
            continue
        style = "yellow" if line.during != line.before else ""
        table.add_row(
            Text(line.name, style="bold"), line.before, Text(line.during, style=style), line.now
        )
    return table
