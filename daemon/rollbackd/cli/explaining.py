"""`rollbackd explain`: why a rule fires or does not, live or on recorded events."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from msgspec import to_builtins
from msgspec.structs import replace
from rich.console import Console

from rollbackd.app.backtest.decoding import RecordShape
from rollbackd.app.backtest.recording import Faults, FileRecording, UnreadableError
from rollbackd.app.backtest.times import parse_time
from rollbackd.app.configuration import load
from rollbackd.app.explaining import explain_recording
from rollbackd.cli.answers import Explanations
from rollbackd.cli.client import Api, Connection, call, convert
from rollbackd.cli.explanation_tree import page
from rollbackd.cli.failures import FailureError
from rollbackd.cli.options import (
    DEFAULT_URL,
    AnyScopeOption,
    CaFileOption,
    Output,
    OutputOption,
    TokenFileOption,
    UrlOption,
)
from rollbackd.cli.record_shapes import FormatOption, MappingOption, shape_of_files
from rollbackd.model.explanations import RuleExplanation
from rollbackd.model.labels import Scope
from rollbackd.settings import Settings, default_settings, load_settings
from rollbackd.triggers.explaining import UnknownRuleError

_RECORDED: Final = "Recorded events instead of a running daemon"


def _checked_time(value: str) -> str:
    try:
        if value:
            parse_time(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return value


def explain(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The name of the rule.")],
    *,
    scope: AnyScopeOption = None,
    at: Annotated[
        str,
        typer.Option("--at", metavar="TIME", callback=_checked_time,
                     help="A time, RFC 3339 or Unix seconds; else now, or the recording's end."),
    ] = "",
    limit: Annotated[
        int,
        typer.Option("--limit", metavar="N", min=1, max=1000,
                     help="Show so many elements and series of each part."),
    ] = 5,
    events: Annotated[
        list[Path] | None,
        typer.Option("--events", metavar="FILE", rich_help_panel=_RECORDED,
                     help="Events, one JSON a line; may be repeated."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", rich_help_panel=_RECORDED,
                     help="The daemon's config file, for its rules."),
    ] = None,
    rules: Annotated[
        list[Path] | None,
        typer.Option("--rules", metavar="FILE", rich_help_panel=_RECORDED,
                     help="Rule files or folders instead of its own; may be repeated."),
    ] = None,
    mapping: MappingOption = "",
    format: FormatOption = "",  # noqa: A002  # the name of the option
    url: UrlOption = DEFAULT_URL,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
    output: OutputOption = Output.TEXT,
) -> None:  # fmt: skip
    """Say why a rule fires or does not: every part of its expression with what it gives.

    The parts are evaluated by the operators of the engine itself. Without --events a running daemon
    is asked; with them the events are played through the rules up to --at.
    """
    if events:
        settings = _settings(config, rules)
        shape = shape_of_files(mapping, format, settings)
        found = _recorded(rule, events, shape, settings, scope=scope, at=at, limit=limit)
        answer = to_builtins({"explanations": found})
    elif config or rules or mapping or format:
        raise typer.BadParameter(
            "--config, --rules, --mapping and --format are for recorded events; add --events"
        )
    else:
        connection = Connection(url=url, token_file=token_file, ca_file=ca_file)
        answer = _live(connection, rule, scope=scope, at=at, limit=limit)
    if output is Output.JSON:
        typer.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2))
        return
    console = Console(highlight=False)
    for explanation in convert(answer, Explanations).explanations:
        console.print(page(explanation))


def _live(connection: Connection, rule: str, *, scope: Scope | None, at: str, limit: int) -> Any:
    params = {"rule": rule, "limit": str(limit)}
    params |= {"scope": str(scope)} if scope else {}
    params |= {"at": at} if at else {}

    async def work(api: Api) -> Any:
        return await api.get("/api/v1/explain", **params)

    return call(connection, work)


def _recorded(
    rule: str,
    files: list[Path],
    shape: RecordShape,
    settings: Settings,
    *,
    scope: Scope | None,
    at: str,
    limit: int,
) -> list[RuleExplanation]:
    faults = Faults()
    now_ms = time.time_ns() // 1_000_000
    # What the daemon would log goes with the recording, and is not what was asked.
    logging.disable(logging.CRITICAL)
    try:
        return asyncio.run(
            explain_recording(
                [FileRecording(file, faults, now_ms=now_ms, shape=shape) for file in files],
                load(settings),
                settings,
                rule,
                scope=scope,
                at_ms=parse_time(at) if at else None,
                limit=limit,
                faults=faults,
            )
        )
    except (UnknownRuleError, UnreadableError) as error:
        raise FailureError(str(error)) from None
    finally:
        logging.disable(logging.NOTSET)
        for place, reason in faults.first[:1]:
            rest = f" (and {faults.count - 1} more)" if faults.count > 1 else ""
            typer.echo(f"left out {place}: {reason}{rest}", err=True)


def _settings(config: Path | None, rules: list[Path] | None) -> Settings:
    settings = load_settings(config) if config is not None else default_settings()
    return replace(settings, rules=tuple(rules)) if rules else settings
