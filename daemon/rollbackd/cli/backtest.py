"""`rollbackd backtest`: what the daemon would have done with recorded events."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import typer
from msgspec import to_builtins
from msgspec.structs import replace
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from rollbackd.app.backtest.decoding import RecordShape
from rollbackd.app.backtest.findings import Findings
from rollbackd.app.backtest.html.page import page
from rollbackd.app.backtest.known_good import read_known_good
from rollbackd.app.backtest.labels import Label, read_labels
from rollbackd.app.backtest.recording import Faults, FileRecording, Recorded, UnreadableError
from rollbackd.app.backtest.scoring import Score, score
from rollbackd.app.configuration import Configuration, load
from rollbackd.app.generating.plans import RATE
from rollbackd.cli.backtest_generated import backtest_generated
from rollbackd.cli.backtest_options import (
    ConfigOption,
    DecisionTreeOption,
    FilesArgument,
    FromOption,
    GeneratedOption,
    HtmlOption,
    JobsOption,
    KafkaOption,
    KnownGoodOption,
    LabelsOption,
    MinPrecisionOption,
    MinRecallOption,
    RateOption,
    RulesOption,
    ScenariosOption,
    SeedOption,
    ToOption,
    TopicOption,
)
from rollbackd.cli.backtest_report import report
from rollbackd.cli.failures import FailureError
from rollbackd.cli.options import Output, OutputOption
from rollbackd.cli.record_shapes import (
    FormatOption,
    MappingOption,
    shape_of_files,
    shape_of_topic,
)
from rollbackd.cli.rule_tests import read_text
from rollbackd.settings import KafkaSettings, Settings, default_settings, load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Where the events come from: files, or a stretch of a topic."""

    files: list[Path]
    topic: str
    from_ms: int
    to_ms: int


def backtest(
    files: FilesArgument = None,
    *,
    config: ConfigOption = None,
    rules: RulesOption = None,
    decision_tree: DecisionTreeOption = None,
    known_good: KnownGoodOption = None,
    kafka: KafkaOption = "",
    topic: TopicOption = "",
    since: FromOption = None,
    until: ToOption = None,
    mapping: MappingOption = "",
    format: FormatOption = "",  # noqa: A002  # the name of the option
    labels: LabelsOption = None,
    min_precision: MinPrecisionOption = None,
    min_recall: MinRecallOption = None,
    html: HtmlOption = None,
    generated: GeneratedOption = 0,
    seed: SeedOption = 1,
    rate: RateOption = RATE,
    jobs: JobsOption = 2,
    scenario: ScenariosOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Play recorded events through the rules and decisions of the daemon, and act on nothing.

    It says what would have fired and when, which branch would have been taken, which guardrail
    would have said no, and what each lever would have moved. Events of a shape of your own are
    read by a field mapping. See docs/backtest.md.
    """
    if generated:
        if any((files, known_good, kafka, topic, since, until, mapping, format, labels, html)):
            raise typer.BadParameter("--generated makes its own events and labels; name no others")
        backtest_generated(
            generated,
            _settings(config, rules, decision_tree, kafka),
            seed=seed,
            rate=rate,
            jobs=jobs,
            scenarios=scenario or [],
            output=output,
            min_precision=min_precision,
            min_recall=min_recall,
        )
        return
    if (min_precision is not None or min_recall is not None) and labels is None:
        raise typer.BadParameter("there is nothing to compare with; add --labels")
    source = _source(files or [], kafka, topic, since, until)
    settings = _settings(config, rules, decision_tree, kafka)
    shape = (
        shape_of_topic(topic, mapping, format, settings)
        if source.topic
        else shape_of_files(mapping, format, settings)
    )
    configuration = load(settings)
    labelled = _labels(labels, configuration)
    try:
        findings = _played(
            source, shape, configuration, settings, known_good, with_curves=bool(html)
        )
    except UnreadableError as error:
        raise FailureError(str(error)) from None
    scored = None if labelled is None else score(findings, labelled)
    if html is not None:
        _write(html, page(findings, scored))
    _finish(findings, scored, output, min_precision=min_precision, min_recall=min_recall)


def _finish(
    findings: Findings,
    scored: Score | None,
    output: Output,
    *,
    min_precision: float | None,
    min_recall: float | None,
) -> None:
    shortfalls = (
        scored.shortfalls(min_precision=min_precision, min_recall=min_recall) if scored else []
    )
    if output is Output.JSON:
        found = to_builtins(replace(findings, curves=[]))
        del found["curves"]
        facts = {"ok": not shortfalls, **found, "score": to_builtins(scored)}
        typer.echo(orjson.dumps({**facts, "shortfalls": shortfalls}, option=orjson.OPT_INDENT_2))
    else:
        Console(soft_wrap=False, highlight=False).print(report(findings, scored))
    if shortfalls:
        raise FailureError("; ".join(shortfalls))


def _source(
    files: list[Path], kafka: str, topic: str, since: int | None, until: int | None
) -> _Source:
    """Check that exactly one place is named, and all of it."""
    if not kafka:
        if not files:
            raise typer.BadParameter("name a recorded file, or --kafka with --topic")
        if topic or since is not None or until is not None:
            raise typer.BadParameter("--topic, --from and --to belong to --kafka")
        return _Source(files=files, topic="", from_ms=0, to_ms=0)
    if files:
        raise typer.BadParameter("take either files or --kafka")
    if not topic or since is None:
        raise typer.BadParameter("--kafka needs --topic and --from")
    to_ms = time.time_ns() // 1_000_000 if until is None else until
    if to_ms <= since:
        raise typer.BadParameter("--to must be after --from")
    return _Source(files=[], topic=topic, from_ms=since, to_ms=to_ms)


def _settings(
    config: Path | None, rules: list[Path] | None, tree: Path | None, kafka: str
) -> Settings:
    settings = load_settings(config) if config else default_settings()
    if rules:
        settings = replace(settings, rules=rules)
    if tree is not None:
        settings = replace(settings, decision_tree=tree)
    if kafka:
        servers = [server.strip() for server in kafka.split(",") if server.strip()]
        known = settings.kafka or KafkaSettings(bootstrap_servers=servers, topics=[])
        settings = replace(settings, kafka=replace(known, bootstrap_servers=servers))
    return settings


def _labels(path: Path | None, configuration: Configuration) -> list[Label] | None:
    if path is None:
        return None
    return read_labels(read_text(path), file=str(path), branches=configuration.tree.branches)


def _played(
    source: _Source,
    shape: RecordShape,
    configuration: Configuration,
    settings: Settings,
    known_good: Path | None,
    *,
    with_curves: bool,
) -> Findings:
    # Here, because no other command needs what these stand on.
    from rollbackd.app.backtest.kafka_range import KafkaRange  # noqa: PLC0415
    from rollbackd.app.backtest.play import play  # noqa: PLC0415

    now_ms = time.time_ns() // 1_000_000
    good = read_known_good(known_good, now_ms=now_ms) if known_good else []
    faults = Faults()

    async def run(progress: Progress) -> Findings:
        bar = progress.add_task("backtest", total=None)

        async def through(recordings: list[Recorded]) -> Findings:
            return await play(
                recordings,
                configuration,
                settings,
                faults=faults,
                known_good=good,
                with_curves=with_curves,
                on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
            )

        if not source.topic:
            files = (FileRecording(f, faults, now_ms=now_ms, shape=shape) for f in source.files)
            return await through(list(files))
        assert settings.kafka is not None
        span = KafkaRange(
            settings.kafka,
            source.topic,
            from_ms=source.from_ms,
            to_ms=source.to_ms,
            faults=faults,
            shape=shape,
        )
        try:
            return await through(await span.partitions())
        finally:
            await span.close()

    with _quiet(), _progress() as progress:
        return asyncio.run(run(progress))


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


@contextmanager
def _quiet() -> Iterator[None]:
    """The parts log what they decide, for operators of a daemon; here the report says it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FailureError(f"cannot write `{path}`: {error.strerror}") from None
    Console(stderr=True, soft_wrap=True).print(f"wrote {path}")
