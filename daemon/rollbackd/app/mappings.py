"""The mapping files of a config, compiled; and what the daemon exports about them."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from rollbackd.documents.diagnostics import Diagnostic, DocumentError, Position, Severity
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.settings import Settings, shipped_rules
from rollbackd.settings.mappings import mapping_files


def survey_mappings(settings: Settings) -> tuple[dict[str, FieldMapping], list[Diagnostic]]:
    """The mappings that can be used, by name, and what is wrong with the others."""
    found: dict[str, FieldMapping] = {}
    problems: list[Diagnostic] = []
    for name, path in mapping_files(settings.mappings, shipped_rules() / "mappings").items():
        try:
            found[name] = FieldMapping.read(path.read_text(encoding="utf-8"), file=str(path))
        except DocumentError as error:
            problems += error.diagnostics
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            where = Position(str(path), 1, 1)
            message = f"cannot read the file: {reason}"
            problems.append(Diagnostic("file/read", Severity.ERROR, message, where))
    return found, problems


class MappingMetrics(Collector):
    """Counts that the mappings keep themselves, read when the metrics are asked for.

    They begin anew with a reload, as those of a process that was started again.
    """

    def __init__(self, mappings: Mapping[str, FieldMapping]) -> None:
        self._mappings = mappings

    def collect(self) -> Iterator[CounterMetricFamily]:
        """One family a count."""
        ignored = CounterMetricFamily(
            "rollbackd_mapping_ignored_events",
            "Events that a mapping took nothing from.",
            labels=["mapping"],
        )
        over = CounterMetricFamily(
            "rollbackd_mapping_label_overflow",
            "Values of a label that a mapping put under `other`.",
            labels=["mapping", "label"],
        )
        for name, mapping in list(self._mappings.items()):
            if mapping.ignored:
                ignored.add_metric([name], mapping.ignored)
            for label, count in mapping.over.items():
                over.add_metric([name, label], count)
        yield ignored
        yield over
