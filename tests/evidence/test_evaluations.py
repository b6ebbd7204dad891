"""What the expression was over the recorded window."""

import pytest
from msgspec.structs import replace

from rollbackd.evidence import evaluations
from rollbackd.evidence.evaluations import curves_of, expanded
from rollbackd.model.incidents import Incident, SeriesWindow
from tests.evidence.drift import drift_incident


def with_windows(*windows: SeriesWindow, expr: str = "x > 1") -> Incident:
    incident, _ = drift_incident()
    evidence = incident.evidence
    assert evidence is not None
    trigger = replace(incident.triggers[0], expr=expr)
    return replace(incident, evidence=replace(evidence, windows=list(windows)), triggers=[trigger])


def window(metric: str, *, count: int = 1) -> SeriesWindow:
    return SeriesWindow(metric=metric, labels={}, samples=[(1, 1.0)], count=count)


def test_the_last_value_is_the_one_that_fired() -> None:
    """The engine's own operators over the samples that it had."""
    incident, _ = drift_incident()
    (curve,) = curves_of(incident)
    (line,) = curve.lines
    assert line.values[-1] == pytest.approx(incident.triggers[0].value)
    assert (curve.symbol, curve.threshold) == (">", 0.15)
    assert line.labels == {"service": "rag", "region": "eu-1"}
    values = [value for value in line.values if value is not None]
    assert max(values[:-1]) < 0.15
    assert len(curve.times_ms) == len(line.values) <= evaluations.MOST_POINTS + 1


def test_a_thinned_window_counts_as_many_as_it_stands_for() -> None:
    """Evenly between those that were kept, the newest where it was."""
    window = SeriesWindow(metric="x", labels={}, samples=[(90, 1.0), (120, 4.0)], count=5)
    spread = expanded(window)
    assert len(spread) == 5
    assert [value for _, value in spread] == [1.0, 1.0, 4.0, 4.0, 4.0]
    assert [time for time, _ in spread] == [80, 90, 100, 110, 120]
    lone = SeriesWindow(metric="x", labels={}, samples=[(90, 1.0)], count=3)
    assert expanded(lone) == [(90, 1.0)] * 3


@pytest.mark.parametrize(
    ("incident", "missing"),
    [
        (with_windows(window("y")), "no series"),
        (with_windows(window("x", count=9_999_999)), "too many samples"),
        (with_windows(window("x"), expr="x >"),
         "ends after"),
    ],
)  # fmt: skip
def test_what_cannot_be_worked_out_says_why(incident: Incident, missing: str) -> None:
    """The page prints it."""
    (curve,) = curves_of(incident)
    assert missing in curve.missing
    assert curve.lines == []


def test_without_windows_there_is_nothing_to_draw() -> None:
    """Nor without evidence."""
    assert curves_of(with_windows()) == []
    assert curves_of(replace(drift_incident()[0], evidence=None)) == []
