"""The table of docs/metrics.md: every metric that the daemon exports about itself.

`python -m tests.metrics_page` writes it; a test fails while it is out of date.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Info
from prometheus_client.metrics import MetricWrapperBase

from rollbackd.app.mappings import MappingMetrics
from rollbackd.telemetry import Telemetry

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"

_TABLE = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- /metrics -->)", re.DOTALL)
_SUFFIX = {"counter": "_total", "info": "_info"}


def with_table(text: str) -> str:
    """The page with the table that the code gives."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|", *_rows()]
    return _TABLE.sub(lambda _: "\n".join(rows) + "\n", text)


def _rows() -> Iterator[str]:
    metrics = vars(Telemetry(CollectorRegistry())).values()
    for metric in (each for each in metrics if isinstance(each, MetricWrapperBase)):
        (family,) = metric.describe()
        labels = metric._labelnames if not isinstance(metric, Info) else ("version",)
        yield _row(family.name, family.type, labels, family.documentation)
    for counted in MappingMetrics({}).collect():
        yield _row(counted.name, counted.type, counted._labelnames, counted.documentation)


def _row(name: str, type_: str, labels: tuple[str, ...], text: str) -> str:
    named = ", ".join(f"`{label}`" for label in labels)
    return f"| `{name}{_SUFFIX.get(type_, '')}` | {type_} | {named} | {text} |"


def main() -> None:
    """Write what is out of date."""
    PAGE.write_text(with_table(PAGE.read_text()))


if __name__ == "__main__":
    main()
