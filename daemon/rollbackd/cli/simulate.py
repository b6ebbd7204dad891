"""`rollbackd simulate`: the production code under drawn faults, with every invariant watched."""

from typing import Annotated

import orjson
import typer
from msgspec import to_builtins
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from rollbackd.app.simulation.campaign import Failure, Tally, quiet, run_seeds
from rollbackd.cli.failures import FailureError
from rollbackd.cli.options import Output, OutputOption

_DEFAULT_SEEDS = 1_000

SeedsOption = Annotated[
    int | None,
    typer.Option(
        "--seeds",
        metavar="N",
        min=1,
        help=f"How many seeds to play; {_DEFAULT_SEEDS}, or 1 with `--seed`.",
        show_default=False,
    ),
]
SeedOption = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", min=0, help="The first seed, or the only one.", show_default=False
    ),
]
JobsOption = Annotated[
    int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Processes to play them on.")
]
StoryOption = Annotated[
    bool, typer.Option("--story", help="Tell what happened, step by step; with one seed only.")
]


def simulate(
    *,
    seeds: SeedsOption = None,
    seed: SeedOption = None,
    jobs: JobsOption = 2,
    story: StoryOption = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Play incidents on a virtual clock under drawn faults, and check what must always hold.

    One seed decides everything: the services, the decision tree, crashes, lost replies, outages,
    a second replica, and people. A seed that fails is shrunk to the shortest schedule that still
    fails. See docs/simulation.md.
    """
    count = seeds if seeds is not None else (1 if seed is not None else _DEFAULT_SEEDS)
    if story and count != 1:
        raise typer.BadParameter("--story tells of one seed; name it with --seed")
    first = seed if seed is not None else 0
    if story and output is Output.TEXT:
        _tell(first)
    tally = _run(first, count, jobs)
    if output is Output.JSON:
        facts = {"ok": not tally.failures, "first": first, **to_builtins(tally)}
        typer.echo(orjson.dumps(facts, option=orjson.OPT_INDENT_2))
    else:
        Console(highlight=False, soft_wrap=True).print(report(tally))
    if tally.failures:
        raise FailureError(f"{len(tally.failures)} of {tally.seeds} seeds broke an invariant")


def report(tally: Tally) -> Text:
    """The result for people."""
    text = Text()
    for failure in tally.failures:
        text.append_text(_failure(failure))
    verdict = f"{tally.seeds:,} seeds, {len(tally.failures)} violations"
    text.append(verdict, style="bold red" if tally.failures else "bold green")
    hours = tally.virtual_ms / 3_600_000
    text.append(f" in {tally.seconds:.1f} s ({hours:,.1f} h of virtual time)\n")
    text.append(
        f"{tally.incidents:,} incidents, {sum(tally.faults.values()):,} faults,"
        f" {tally.crashes:,} crashes, {tally.processes:,} processes\n"
    )
    text.append(f"faults: {_counts(tally.faults)}\n")
    text.append(f"states: {_counts(tally.states)}")
    return text


def _failure(failure: Failure) -> Text:
    violation = failure.violation
    text = Text.assemble(
        ("violated: ", "bold red"),
        f"{violation.invariant}\n",
        f"  seed {failure.seed}, {violation.at_ms / 1e3:.2f} s: {violation.message}\n",
    )
    if failure.schedule is not None:
        many = f"{len(failure.schedule)} of the {failure.drawn} faults"
        text.append(f"  {many} are enough:\n" if failure.schedule else "  without any fault\n")
        for fault in failure.schedule:
            text.append(f"    {fault}\n")
    text.append(f"  again: rollbackd simulate --seed {failure.seed} --story\n\n")
    return text


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _run(first: int, count: int, jobs: int) -> Tally:
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        bar = progress.add_task("simulate", total=count)
        return run_seeds(
            first, count, jobs=jobs, on_progress=lambda done: progress.update(bar, completed=done)
        )


def _tell(seed: int) -> None:
    # Here, because only a story needs the parts themselves.
    from rollbackd.app.simulation.play import play  # noqa: PLC0415
    from rollbackd.app.simulation.scenario import draw  # noqa: PLC0415

    scenario = draw(seed)
    for service in scenario.services:
        typer.echo(f"{service.scope} breaks: {service.cause}, {' and '.join(service.branches)}")
    for fault in scenario.faults:
        typer.echo(f"fault {fault}")
    with quiet():
        outcome = play(scenario, with_story=True)
    for line in outcome.story:
        typer.echo(line)
