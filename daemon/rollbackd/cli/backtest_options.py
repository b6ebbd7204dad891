"""The options of `rollbackd backtest`."""

from pathlib import Path
from typing import Annotated, Final

import typer

from rollbackd.app.backtest.times import parse_time

_KAFKA: Final = "A Kafka topic instead of files"
_RULES: Final = "Rules"
_SCORE: Final = "Score"
_GENERATED: Final = "Made-up rollouts instead of recordings"


def parsed_time(value: str) -> int:
    """A time as it is written. Raises BadParameter."""
    try:
        return parse_time(value)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


FilesArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="FILE", help="Recorded events, one JSON a line."),
]

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="The daemon's config file.", rich_help_panel=_RULES
    ),
]

RulesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--rules",
        metavar="FILE",
        help="Rule files or folders instead of the config's; may be repeated.",
        rich_help_panel=_RULES,
    ),
]

DecisionTreeOption = Annotated[
    Path | None,
    typer.Option(
        "--decision-tree",
        metavar="FILE",
        help="A decision tree instead of the config's.",
        rich_help_panel=_RULES,
    ),
]

KnownGoodOption = Annotated[
    Path | None,
    typer.Option(
        "--known-good",
        metavar="FILE",
        help="`baseline.pinned` events that were in force before the recording.",
        rich_help_panel=_RULES,
    ),
]

KafkaOption = Annotated[
    str,
    typer.Option(
        "--kafka",
        metavar="HOST:PORT,...",
        help="The brokers. TLS and SASL are as in the config.",
        rich_help_panel=_KAFKA,
    ),
]

TopicOption = Annotated[
    str,
    typer.Option(
        "--topic", metavar="NAME", help="The topic that holds the events.", rich_help_panel=_KAFKA
    ),
]

FromOption = Annotated[
    int | None,
    typer.Option(
        "--from",
        metavar="TIME",
        parser=parsed_time,
        help="From this time on, RFC 3339 or Unix seconds.",
        rich_help_panel=_KAFKA,
    ),
]

ToOption = Annotated[
    int | None,
    typer.Option(
        "--to",
        metavar="TIME",
        parser=parsed_time,
        help="Up to this time, which is left out.",
        rich_help_panel=_KAFKA,
    ),
]

LabelsOption = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="The incidents that really happened, as YAML.",
        rich_help_panel=_SCORE,
    ),
]

MinPrecisionOption = Annotated[
    float | None,
    typer.Option(
        "--min-precision",
        metavar="RATIO",
        min=0,
        max=1,
        help="Exit with 1 below this.",
        rich_help_panel=_SCORE,
    ),
]

MinRecallOption = Annotated[
    float | None,
    typer.Option(
        "--min-recall",
        metavar="RATIO",
        min=0,
        max=1,
        help="Exit with 1 below this.",
        rich_help_panel=_SCORE,
    ),
]

HtmlOption = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write a report with plots, in one file."),
]

GeneratedOption = Annotated[
    int,
    typer.Option(
        "--generated",
        metavar="N",
        min=0,
        show_default=False,
        help="Play N rollouts of `rollbackd generate`, half of them bad, and score them.",
        rich_help_panel=_GENERATED,
    ),
]

SeedOption = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        min=0,
        help="The same seed is the same corpus.",
        rich_help_panel=_GENERATED,
    ),
]

RateOption = Annotated[
    float,
    typer.Option(
        "--rate",
        metavar="N",
        min=0.01,
        max=100_000,
        help="Requests a second, at the mean of the day.",
        rich_help_panel=_GENERATED,
    ),
]

JobsOption = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=1,
        help="Processes to play them on.",
        rich_help_panel=_GENERATED,
    ),
]

ScenariosOption = Annotated[
    list[str] | None,
    typer.Option(
        "--scenario",
        metavar="NAME",
        help="This scenario only; may be repeated.",
        rich_help_panel=_GENERATED,
    ),
]
