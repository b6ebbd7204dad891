"""The options of `rollbackd generate`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from rollbackd.cli.backtest_options import parsed_time
from rollbackd.cli.options import checked_url, parsed_scope
from rollbackd.documents.durations import parse_duration
from rollbackd.model.labels import Scope

_TRAFFIC: Final = "Traffic"
_WHERE: Final = "Where it goes (one of them)"


class Detail(StrEnum):
    """How much a service says."""

    #: An event for each request.
    EVENTS = "events"
    #: Sums every 15 seconds.
    WINDOWS = "windows"


class Pace(StrEnum):
    """When events go out."""

    #: Each when it is due.
    REAL = "real"
    #: As fast as they are taken.
    FAST = "fast"


def _parsed_duration(value: str) -> int:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _checked_url(value: str) -> str:
    return checked_url(value) if value else ""


ScenarioOption = Annotated[
    str, typer.Option("--scenario", metavar="NAME", help="What happens; --list names them all.")
]

ListOption = Annotated[bool, typer.Option("--list", help="Print the scenarios and end.")]

SeedOption = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", min=0, help="The same seed is the same traffic, byte for byte."
    ),
]

RateOption = Annotated[
    float,
    typer.Option(
        "--rate",
        metavar="N",
        min=0.01,
        max=1_000_000,
        help="Requests a second of each service, at the mean of the day.",
        rich_help_panel=_TRAFFIC,
    ),
]

DurationOption = Annotated[
    int | None,
    typer.Option(
        "--duration",
        metavar="DURATION",
        parser=_parsed_duration,
        help="How long it goes on; the rollout begins after 6 minutes. \\[default: 20m]",
        show_default=False,
        rich_help_panel=_TRAFFIC,
    ),
]

StartOption = Annotated[
    int | None,
    typer.Option(
        "--start",
        metavar="TIME",
        parser=parsed_time,
        help="When it begins, RFC 3339 or Unix seconds; now in real time, else a fixed day.",
        show_default=False,
        rich_help_panel=_TRAFFIC,
    ),
]

ScopesOption = Annotated[
    list[Scope] | None,
    typer.Option(
        "--scope",
        metavar="SERVICE/REGION",
        parser=parsed_scope,
        help="Repeat it for more services or regions; faults are in the first. \\[default: rag/eu]",
        show_default=False,
        rich_help_panel=_TRAFFIC,
    ),
]

DetailOption = Annotated[
    Detail,
    typer.Option(
        "--detail",
        help="An event a request, or sums every 15 seconds, on which few rules can be tried.",
        rich_help_panel=_TRAFFIC,
    ),
]

PaceOption = Annotated[
    Pace | None,
    typer.Option(
        "--pace",
        help="`fast`, or `real` time. \\[default: fast to a file, real to Kafka and a daemon]",
        show_default=False,
        rich_help_panel=_TRAFFIC,
    ),
]

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="A file of events, one a line; `-` is the standard output. \\[default: -]",
        show_default=False,
        rich_help_panel=_WHERE,
    ),
]

KafkaOption = Annotated[
    str,
    typer.Option(
        "--kafka",
        metavar="HOST:PORT,...",
        help="The brokers. TLS and SASL are as in --config.",
        rich_help_panel=_WHERE,
    ),
]

TopicOption = Annotated[
    str,
    typer.Option(
        "--topic",
        metavar="NAME",
        help="The topic; records are keyed by scope.",
        rich_help_panel=_WHERE,
    ),
]

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="A daemon's config file, for how to reach Kafka.",
        rich_help_panel=_WHERE,
    ),
]

DaemonOption = Annotated[
    str,
    typer.Option(
        "--url",
        metavar="URL",
        callback=_checked_url,
        help="A running daemon, over HTTP.",
        rich_help_panel=_WHERE,
    ),
]

LabelsOption = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Write what is wrong and from when, for `rollbackd backtest --labels`.",
    ),
]
