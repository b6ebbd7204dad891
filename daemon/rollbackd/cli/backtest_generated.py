"""`rollbackd backtest --generated`: the rules against a corpus of made-up rollouts."""

import time
from collections.abc import Sequence

import orjson
import typer
from msgspec import to_builtins
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from rollbackd.app.configuration import load
from rollbackd.app.generating.corpus import Verdict, corpus, judge
from rollbackd.app.generating.scenario import Scenario
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.app.generating.tallies import Tally, by_scenario, shortfalls, tally
from rollbackd.cli.failures import FailureError
from rollbackd.cli.options import Output
from rollbackd.cli.phrases import counted, span
from rollbackd.settings import Settings

_MOST_FAULTS = 20


def backtest_generated(
    count: int,
    settings: Settings,
    *,
    seed: int,
    rate: float,
    jobs: int,
    scenarios: Sequence[str],
    output: Output,
    min_precision: float | None,
    min_recall: float | None,
) -> None:
    """Play the corpus and print the table. Raises FailureError when a minimum is missed."""
    load(settings)  # so that a bad file is told once, and not by every process
    tasks = corpus(count, seed=seed, rate=rate, scenarios=_named(scenarios))
    started = time.monotonic()
    with _progress() as progress:
        bar = progress.add_task("backtest", total=count)
        verdicts = judge(
            tasks,
            settings,
            jobs=jobs,
            on_progress=lambda done: progress.update(bar, completed=done),
        )
    seconds = time.monotonic() - started
    rows, whole = by_scenario(verdicts), tally("all", verdicts)
    missed = shortfalls(whole, min_precision=min_precision, min_recall=min_recall)
    if output is Output.JSON:
        facts = {
            "ok": not missed, "seed": seed, "rate": rate, "seconds": round(seconds, 1),
            "all": to_builtins(whole), "scenarios": to_builtins(rows),
            "faults": to_builtins(_faulty(verdicts)), "shortfalls": missed,
        }  # fmt: skip
        typer.echo(orjson.dumps(facts, option=orjson.OPT_INDENT_2))
    else:
        Console(highlight=False).print(_report(rows, whole, verdicts, seconds))
    if missed:
        raise FailureError("; ".join(missed))


def _named(names: Sequence[str]) -> list[Scenario] | None:
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise typer.BadParameter(
            f"`{unknown[0]}` is not a scenario; there are: {', '.join(SCENARIOS)}",
            param_hint="--scenario",
        )
    return [SCENARIOS[name] for name in names] or None


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _report(
    rows: Sequence[Tally], whole: Tally, verdicts: Sequence[Verdict], seconds: float
) -> RenderableType:
    events = sum(verdict.events for verdict in verdicts)
    head = Text(
        f"{counted(whole.rollouts, 'generated rollout')}, {whole.labelled:,} of them bad,"
        f" {events:,} events, in {span(seconds * 1_000)}\n"
    )
    return Group(head, _table(rows, whole), _faults(verdicts))


def _table(rows: Sequence[Tally], whole: Tally) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("scenario", no_wrap=True)
    table.add_column("line", no_wrap=True)
    for name in ("rollouts", "found", "wrong calls", "median", "p95"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("found by", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    table.add_row(*_cells(whole), style="bold")
    table.add_row("precision", "", _percent(whole.precision), style="bold")
    table.add_row("recall", "", _percent(whole.recall), style="bold")
    return table


def _cells(row: Tally) -> tuple[str, ...]:
    wrong, missed = row.calls - row.right, row.labelled - row.found
    return (
        row.name,
        row.line,
        f"{row.rollouts:,}",
        f"{row.found:,}" + (f" of {row.labelled:,}" if missed else "") if row.labelled else "",
        f"{wrong:,}",
        "" if row.detect_median_ms is None else span(row.detect_median_ms),
        "" if row.detect_p95_ms is None else span(row.detect_p95_ms),
        ", ".join(f"{rule} {count}" for rule, count in row.found_by.items()),
    )


def _percent(ratio: float | None) -> str:
    return "undefined" if ratio is None else f"{ratio:.2%}"


def _faulty(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """What did not go as it should: the rollouts to look at, each with what makes it again."""
    return [v for v in verdicts if v.false_calls or v.misses or v.undecoded]


def _faults(verdicts: Sequence[Verdict]) -> Text:
    text, faulty = Text(), _faulty(verdicts)
    for verdict in faulty[:_MOST_FAULTS]:
        task = verdict.task
        for call in verdict.false_calls:
            text.append("\nwrong  ", "bold red")
            text.append(f"{task.scenario}: {call.branch} on {call.scope} by {call.rule}")
        for miss in verdict.misses:
            text.append("\nmissed ", "bold yellow")
            text.append(f"{task.scenario}: {miss.note}")
        if verdict.undecoded:
            text.append("\nunread ", "bold yellow")
            text.append(f"{task.scenario}: {counted(verdict.undecoded, 'event')}: {verdict.why}")
        again = f"--seed {task.seed} --start {task.start_ms // 1_000} --rate {task.rate:g}"
        text.append(f"\n       rollbackd generate --scenario {task.scenario} {again}", "dim")
    if len(faulty) > _MOST_FAULTS:
        text.append(
            f"\nand {len(faulty) - _MOST_FAULTS:,} more; `--output json` has them all", "dim"
        )
    return text
