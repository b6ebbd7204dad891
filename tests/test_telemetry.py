import re

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from rollbackd.telemetry import Telemetry
from tests.metrics_page import PAGE, with_table

ROOT = PAGE.parents[1]


def test_every_metric_is_told_somewhere() -> None:
    """One that nobody sets would stand on the page and never be there."""
    code = "".join(
        path.read_text() for path in (ROOT / "daemon").rglob("*.py") if path.name != "telemetry.py"
    )
    metrics = vars(Telemetry(CollectorRegistry())).items()
    names = [name for name, each in metrics if isinstance(each, MetricWrapperBase)]
    assert [name for name in names if not re.search(rf"\.{name}\b", code)] == []


def test_the_page_names_every_metric_as_it_is_exported() -> None:
    """Written by `python -m tests.metrics_page`."""
    text = PAGE.read_text()
    assert with_table(text) == text
    assert text.count("\n| `rollbackd_") > 50


def test_every_metric_that_a_page_names_is_exported() -> None:
    """A name that was changed in the code alone would be alerted on for ever in vain."""
    exported = set(re.findall(r"^\| `(rollbackd_\w+)`", PAGE.read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.yml")]
    named = {
        (page.name, name)
        for page in pages
        for name in re.findall(r"\brollbackd_\w+(?=[{`\s<=>])", page.read_text())
    }
    assert {each for each in named if each[1] not in exported} - {
        ("ofrep.md", "rollbackd_token")
    } == set()
