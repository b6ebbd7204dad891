"""The demo on a terminal: one screen, drawn from the scene and nothing else."""

from collections.abc import Callable
from itertools import zip_longest
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rollbackd.cli.demo.plot import plot
from rollbackd.cli.demo.scene import ControlLine, Progress, Scene, Step
from rollbackd.cli.incident_story import transition
from rollbackd.cli.phrases import VERDICT_STYLES, number, span
from rollbackd.documents.durations import format_duration
from rollbackd.documents.numbers import exact
from rollbackd.model.triggers import TargetReading

TOP: Final = 0.25
PLOT_ROWS: Final = 7
_PLOT_HEIGHT: Final = PLOT_ROWS + 2
_LOG_LINES: Final = 5
_STEPS_HEIGHT: Final = 13

_MARKS: Final = {
    Progress.AHEAD: ("·", "dim"),
    Progress.NOW: ("▶", "bold yellow"),
    Progress.DONE: ("✔", "bold green"),
    Progress.SKIPPED: ("-", "dim"),
}


class Screen:
    """A renderable that draws the scene as it is at each refresh."""

    def __init__(self, scene: Callable[[], Scene | None], width: Callable[[], int]) -> None:
        self._scene = scene
        self._width = width
        self._spinner = Spinner("dots", style="yellow")

    def __rich__(self) -> RenderableType:
        scene = self._scene()
        return draw(scene, self._width(), self._spinner) if scene else Text("")


def draw(scene: Scene, width: int, spinner: RenderableType | None = None) -> RenderableType:
    """The whole screen."""
    layout = Layout()
    layout.split_column(
        Layout(_title(scene, spinner), size=2),
        Layout(drift_panel(scene, width), size=_PLOT_HEIGHT),
        Layout(name="middle", size=_STEPS_HEIGHT),
        Layout(_log(scene), size=_LOG_LINES + 2),
    )
    layout["middle"].split_row(
        Layout(_panel("checklist", steps_table(scene.steps())), ratio=4),
        Layout(name="right", ratio=6),
    )
    layout["right"].split_column(
        Layout(_panel("controls: before → now", _controls(scene.control_lines())), ratio=1),
        Layout(_panel("exit targets and hold", _hold(scene)), size=5),
    )
    return layout


def drift_panel(scene: Scene, width: int) -> Panel:
    """The series that pulls the trigger, against its threshold."""
    last = next((v for v in reversed(scene.drift) if v is not None), None)
    hot = last is not None and last > scene.threshold
    title = Text.assemble(
        f"ΔS drift p95 over the pinned baseline, {scene.audience}: ",
        (number(last, beside=scene.threshold), "bold red" if hot else "bold green"),
        (f"  threshold {exact(scene.threshold)}", "yellow"),
    )
    lines = plot(
        scene.drift,
        width=width - 4,
        height=PLOT_ROWS,
        threshold=scene.threshold,
        top=TOP,
    )
    return Panel(Group(*lines), title=title, title_align="left", box=box.ROUNDED)


def steps_table(steps: list[Step]) -> Table:
    """The checklist with the time of each step since the trigger."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", style="cyan", no_wrap=True)
    for step in steps:
        mark, style = _MARKS[step.progress]
        after = "" if step.after_ms is None else f"+{span(step.after_ms)}"
        if step.progress is Progress.SKIPPED:
            after = "not needed"
        table.add_row(Text(mark, style=style), Text(step.state, style=style), after)
    return table


def _title(scene: Scene, spinner: RenderableType | None) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column(width=2)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    clock = f"{scene.elapsed_seconds:4.1f} s = {span(scene.recorded_ms)} at {scene.speed:g}x"
    grid.add_row(spinner or "", Text(scene.story, style="bold"), Text(clock, style="cyan"))
    grid.add_row("", _traffic(scene), Text(f"{scene.events_sent:,} events sent", style="dim"))
    return grid


def _traffic(scene: Scene) -> Text:
    canary = scene.canary_share
    text = Text(f"{scene.scope}  ", style="dim")
    text.append(f"baseline {1 - canary:4.0%}", style="green")
    text.append("  canary ", style="dim")
    text.append(f"{canary:4.0%}", style="bold yellow" if canary else "dim")
    if scene.shed_share:
        text.append(f"  shed {scene.shed_share:.0%}", style="red")
    return text


def _controls(lines: list[ControlLine]) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for line in lines:
        changed = line.before != line.now
        value = Text(f"{line.before} → " if changed else "", style="dim")
        if line.tripped:
            value.append(line.now, style="not dim bold yellow")
        else:
            value.append(line.now, style="not dim green" if changed else "dim")
        table.add_row(Text(line.name, style="bold" if line.tripped else ""), value)
    return table


def _hold(scene: Scene) -> RenderableType:
    if scene.detail is None:
        return Text("nothing is watched before the flip", style="dim")
    incident = scene.detail.incident
    bar = ProgressBar(total=1.0, completed=scene.hold_fraction, complete_style="green")
    hold = format_duration(incident.policy.hold_ms)
    label = Text(f"green {span(incident.hold.green_ms)} of {hold}", style="cyan")
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(ratio=1)
    row.add_column(no_wrap=True)
    row.add_row(bar, label)
    return Group(row, _targets(incident.readings))


def _targets(readings: list[TargetReading]) -> RenderableType:
    cells = [
        Text.assemble(
            ("● ", VERDICT_STYLES[reading.verdict]), f"{reading.name} {_rounded(reading.value)}"
        )
        for reading in readings
    ]
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1, no_wrap=True)
    table.add_column(ratio=1, no_wrap=True)
    for left, right in zip_longest(cells[::2], cells[1::2], fillvalue=Text("")):
        table.add_row(left, right)
    return table


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{round(value, 4):g}"


def _log(scene: Scene) -> Panel:
    text = Text(no_wrap=True, overflow="ellipsis")
    for record in scene.transitions()[-_LOG_LINES:]:
        assert scene.detail is not None
        after = span(record.at_ms - scene.detail.incident.opened_at_ms)
        text.append(f"{'+' + after:>9}  ", style="cyan")
        text.append_text(transition(record))
        text.append("\n")
    text.rstrip()
    return _panel("FROM => TO: because", text)


def _panel(title: str, body: RenderableType) -> Panel:
    return Panel(body, title=title, title_align="left", box=box.ROUNDED, border_style="dim")
