"""`rollbackd generate`: traffic of a canary rollout, healthy or with one known fault."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson
import typer
from rich.console import Console
from rich.table import Table

from rollbackd.app.generating.labels import labels_of, write_labels
from rollbackd.app.generating.plans import DURATION_MS, RATE, Plan, draw
from rollbackd.app.generating.scenario import Scenario
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.app.generating.schedule import Timed
from rollbackd.app.generating.stream import events
from rollbackd.app.generating.windows import summed
from rollbackd.cli.failures import FailureError
from rollbackd.cli.generating_options import (
    ConfigOption,
    DaemonOption,
    Detail,
    DetailOption,
    DurationOption,
    KafkaOption,
    LabelsOption,
    ListOption,
    OutOption,
    Pace,
    PaceOption,
    RateOption,
    ScenarioOption,
    ScopesOption,
    SeedOption,
    StartOption,
    TopicOption,
)
from rollbackd.cli.options import CaFileOption, Output, OutputOption, TokenFileOption
from rollbackd.cli.outlets import Destination, deliver
from rollbackd.cli.tables import print_table
from rollbackd.documents.durations import format_duration
from rollbackd.model.labels import Scope

#: The day of a file, so that a seed alone says what is in it.
_START_MS: Final = 1_756_720_800_000  # 2025-09-01T10:00:00Z
_SCOPES: Final = (Scope("rag", "eu"),)


def generate(
    *,
    scenario: ScenarioOption = "",
    list_: ListOption = False,
    seed: SeedOption = 1,
    labels: LabelsOption = None,
    rate: RateOption = RATE,
    duration: DurationOption = None,
    start: StartOption = None,
    scope: ScopesOption = None,
    detail: DetailOption = Detail.EVENTS,
    pace: PaceOption = None,
    out: OutOption = None,
    kafka: KafkaOption = "",
    topic: TopicOption = "",
    config: ConfigOption = None,
    url: DaemonOption = "",
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make up the traffic of a RAG service during a canary rollout, healthy or with a known fault.

    Five minutes of healthy traffic are pinned as the known good, then the canary gets its share of
    the users, and what the scenario says goes wrong goes wrong. See docs/generate.md.
    """
    if list_:
        _print_list(output)
        return
    _check_destination(out, kafka, topic, url)
    in_real_time = pace is Pace.REAL or (pace is None and bool(kafka or url))
    now_ms = time.time_ns() // 1_000_000
    begin_ms = start if start is not None else now_ms if in_real_time else _START_MS
    plan = draw(
        _named(scenario),
        seed=seed,
        start_ms=begin_ms,
        rate=rate,
        duration_ms=DURATION_MS if duration is None else duration,
        scopes=tuple(scope or _SCOPES),
    )
    if labels is not None:
        _write(labels, write_labels(labels_of(plan)))
    to = Destination(
        out=out, kafka=kafka, topic=topic, config=config,
        url=url, token_file=token_file, ca_file=ca_file,
    )  # fmt: skip
    _summary(plan, asyncio.run(deliver(_stream(plan, detail), to, in_real_time=in_real_time)))


def _check_destination(out: Path | None, kafka: str, topic: str, url: str) -> None:
    if sum((out is not None, bool(kafka), bool(url))) > 1:
        raise typer.BadParameter("take one of --out, --kafka and --url")
    if bool(kafka) != bool(topic):
        raise typer.BadParameter("--kafka and --topic go together")


def _named(name: str) -> Scenario:
    if not name:
        raise typer.BadParameter("name a --scenario; --list prints them")
    found = SCENARIOS.get(name)
    if found is None:
        raise typer.BadParameter(
            f"`{name}` is not a scenario; there are: {', '.join(SCENARIOS)}",
            param_hint="--scenario",
        )
    return found


def _stream(plan: Plan, detail: Detail) -> Iterator[Timed]:
    stream = events(plan)
    return summed(stream) if detail is Detail.WINDOWS else stream


def _summary(plan: Plan, count: int) -> None:
    told = "healthy" if not plan.scenario.line else "its fault comes after the end"
    if plan.fault_ms is not None:
        after = format_duration((plan.fault_ms - plan.start_ms) // 1_000 * 1_000)
        told = f"its fault ({plan.scenario.line}) begins after {after} in {plan.scopes[0]}"
    span = format_duration(plan.duration_ms)
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"{plan.scenario.name}, seed {plan.seed}: {count:,} events over {span}; {told}"
    )


def _print_list(output: Output) -> None:
    if output is Output.JSON:
        found = [
            {"name": s.name, "kind": s.kind, "line": s.line, "branch": s.branch, "about": s.about}
            for s in SCENARIOS.values()
        ]
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("scenario", "kind", "line", "branch"):
        table.add_column(name, no_wrap=True)
    table.add_column("what happens", overflow="fold")
    for each in SCENARIOS.values():
        table.add_row(each.name, str(each.kind), each.line, each.branch, each.about)
    print_table(table)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FailureError(f"cannot write `{path}`: {error.strerror}") from None
