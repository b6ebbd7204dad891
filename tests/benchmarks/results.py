"""What a row says: figures of ours and of the peer, the bound, and whether it is met."""

import math
import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table


class Figure(msgspec.Struct, frozen=True):
    """One quantity, measured several times."""

    unit: str
    runs: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def __str__(self) -> str:
        spread = (
            f" ({shown(min(self.runs))}..{shown(max(self.runs))})" if len(self.runs) > 1 else ""
        )
        return f"{shown(self.median)}{spread} {self.unit}"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. `verdict` is what the bound is about, e.g. the ratio to the peer."""

    row: str
    what: str
    ours: Figure | None = None
    peer: Figure | None = None
    peer_name: str = ""
    verdict: str = ""
    bound: str = ""
    met: bool | None = None
    notes: list[str] = []


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where and when it was measured."""

    at: str
    cores: int
    python: str
    system: str
    processor: str
    load_average: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a run found."""

    machine: Machine
    runs: int
    seconds: float
    results: list[Result]


def machine() -> Machine:
    """This machine, now."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return Machine(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        system=platform.platform(),
        processor=names[0] if names else platform.processor(),
        load_average=round(os.getloadavg()[0], 2),
    )


def rate(runs: Sequence[float], unit: str = "events/s") -> Figure:
    """A figure of several runs."""
    return Figure(unit, list(runs))


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]


def shown(value: float) -> str:
    """Three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def print_table(report: Report) -> None:
    """The table, then the notes."""
    m = report.machine
    table = Table(
        title=f"{m.at}, {m.cores} cores, {m.processor}, Python {m.python}, load {m.load_average};"
        f" medians (lowest..highest) of {report.runs} runs, {report.seconds:.0f} s",
        show_lines=True,
    )
    for heading in ("row", "what", "ours", "peer", "verdict", "bound", "met"):
        table.add_column(heading, overflow="fold")
    for result in report.results:
        peer = str(result.peer or "")
        table.add_row(
            result.row,
            result.what,
            str(result.ours or ""),
            f"{peer}\n{result.peer_name}".strip(),
            result.verdict,
            result.bound,
            "" if result.met is None else ("yes" if result.met else "NO"),
        )
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table)
    for result in report.results:
        for note in result.notes:
            console.print(f"{result.row}: {note}", highlight=False, markup=False, soft_wrap=True)
