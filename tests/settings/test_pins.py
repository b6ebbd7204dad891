"""`pins:` of the config file."""

from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.settings import (
    AutoPinSettings,
    PinSettings,
    RatioSettings,
    WindowedSettings,
    load_settings,
)


def load(folder: Path, text: str) -> PinSettings:
    path = folder / "rollbackd.yaml"
    path.write_text(text)
    return load_settings(path).pins


def test_without_it_nothing_records_by_itself(tmp_path: Path) -> None:
    """And what is measured is what the shipped rules read."""
    pins = load(tmp_path, "log_level: info\n")
    assert pins == PinSettings()
    assert pins.auto is None
    assert (pins.window_ms, pins.min_samples) == (300_000, 200)


def test_everything_can_be_said(tmp_path: Path) -> None:
    text = """
pins:
  window: 10m
  min_samples: 50
  metrics: [tokens]
  windowed: [{name: queue_seconds, min_samples: 3}, {name: cost}]
  ratios: [{name: shed, of: 'requests{code="429"}', among: requests}]
  auto: {after: 1h, full_weight: 0.99, targets: [errors], as: candidate}
"""
    assert load(tmp_path, text) == PinSettings(
        window_ms=600_000,
        min_samples=50,
        metrics=("tokens",),
        windowed=(
            WindowedSettings(name="queue_seconds", min_samples=3),
            WindowedSettings(name="cost"),
        ),
        ratios=(RatioSettings(name="shed", of='requests{code="429"}', among="requests"),),
        auto=AutoPinSettings(
            after_ms=3_600_000, full_weight=0.99, targets=["errors"], status="candidate"
        ),
    )


def test_it_is_turned_on_by_naming_it(tmp_path: Path) -> None:
    assert load(tmp_path, "pins: {auto: {}}\n").auto == AutoPinSettings()


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        ("{windw: 5m}", "key/unknown"),
        ("{window: 0s}", "value/range"),
        ("{min_samples: 0}", "value/range"),
        ("{metrics: ['a b']}", "value/range"),
        ("{windowed: [{name: a, min_samples: 0}]}", "value/range"),
        ("{ratios: [{name: a}]}", "key/missing"),
        ("{auto: {full_weight: 0.5}}", "value/range"),
        ("{auto: {as: best}}", "value/choice"),
        ("{auto: {after: soon}}", "value/duration"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, id_: str) -> None:
    with pytest.raises(DocumentError) as caught:
        load(tmp_path, f"pins: {text}\n")
    assert id_ in {each.id for each in caught.value.diagnostics}
