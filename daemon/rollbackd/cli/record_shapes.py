"""`--mapping` and `--format`: how the lines of a file or the records of a topic are read."""

from pathlib import Path
from typing import Annotated, Final

import typer

from rollbackd.app.backtest.decoding import RecordShape
from rollbackd.cli.failures import FailureError
from rollbackd.cli.rule_tests import read_text
from rollbackd.documents.reader import suggestion
from rollbackd.events.decoders import missing_for
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.settings import Settings, shipped_rules
from rollbackd.settings.formats import FormatSettings
from rollbackd.settings.mappings import mapping_files
from rollbackd.settings.values import TOPIC_FORMATS

#: Formats of bytes, which no line of a file can hold.
_BINARY: Final = ("otlp_protobuf", "remote_write", "remote_write_v2")
_LINES: Final = tuple(format_ for format_ in TOPIC_FORMATS if format_ not in _BINARY)
_PANEL: Final = "Events of another shape"


def _known_format(value: str) -> str:
    if value and value not in TOPIC_FORMATS:
        raise typer.BadParameter(
            f"`{value}` is not a format; allowed are {', '.join(TOPIC_FORMATS)}"
        )
    return value


MappingOption = Annotated[
    str,
    typer.Option(
        "--mapping",
        metavar="NAME",
        help="Read events by this field mapping: a shipped one, one of the config's, or a file. "
        "A topic has that of the config.",
        rich_help_panel=_PANEL,
    ),
]

FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        callback=_known_format,
        help="Read records in this format, in the words of the config: "
        f"{', '.join(TOPIC_FORMATS)}. A topic has that of the config; otherwise `auto`.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]


def shape_of_files(mapping: str, format_: str, settings: Settings) -> RecordShape:
    """What the lines of files hold. Raises BadParameter, FailureError and DocumentError."""
    if format_ in _BINARY:
        raise typer.BadParameter(
            f"`{format_}` is bytes, and a file holds one JSON text a line; of files allowed are"
            f" {', '.join(_LINES)}",
            param_hint="--format",
        )
    return _shape(mapping, format_, settings)


def shape_of_topic(topic: str, mapping: str, format_: str, settings: Settings) -> RecordShape:
    """What the records of a topic hold: as said, or as the config has it. Raises as for files."""
    if not mapping and not format_:
        topics = settings.kafka.topics if settings.kafka is not None else ()
        for known in topics:
            if known.name == topic:
                mapping, format_ = known.mapping, "" if known.mapping else known.format
    return _shape(mapping, format_, settings)


def named_mapping(name: str, settings: Settings) -> FieldMapping:
    """A mapping of the config, a shipped one, or a file. Raises FailureError, DocumentError."""
    files = mapping_files(settings.mappings, shipped_rules() / "mappings")
    path = files.get(name) or Path(name)
    if name not in files and not path.exists():
        raise FailureError(
            f"there is no mapping `{name}`; there are {', '.join(f'`{known}`' for known in files)}",
            fix=suggestion(name, files) or "name its file, or a config whose `mappings:` has it",
        )
    return FieldMapping.read(read_text(path), file=str(path))


def called(mapping: str) -> str:
    """The name of a mapping that is named by itself or by its file."""
    path = Path(mapping)
    return path.stem if path.suffix in {".yaml", ".yml"} else mapping


def _shape(mapping: str, format_: str, settings: Settings) -> RecordShape:
    formats: FormatSettings = settings.formats
    if mapping and format_:
        raise typer.BadParameter("--mapping and --format exclude each other")
    if mapping:
        return RecordShape(mapping=named_mapping(mapping, settings), formats=formats)
    if missing := missing_for(format_):
        raise FailureError(missing)
    return RecordShape(format=format_ or "auto", formats=formats)
