"""Sampling stays bounded however long the recording is."""

from pathlib import Path

from rollbackd.app.backtest.curves import CurveSampler
from rollbackd.app.configuration import load
from rollbackd.model.events import Sample
from rollbackd.model.labels import labels_of
from tests.app.backtest.playing import settings_of


def test_points_are_thinned_as_the_recording_grows(tmp_path: Path) -> None:
    """The interval doubles; what is wanted is taken at once."""
    configuration = load(settings_of(tmp_path))
    engine = configuration.engine
    sampler = CurveSampler(engine, configuration.rule_files)
    labels = labels_of({"__name__": "level", "service": "rag"})
    for second in range(10_000):
        at_ms = 1_000_000 + second * 1_000
        engine.ingest([Sample(labels, float(second), at_ms)], at_ms)
        sampler.sample(at_ms, wanted=second == 9_999)
    (curve,) = sampler.curves(["High"])
    (line,) = curve.lines
    assert 1_000 <= len(line.times_ms) <= 2_001
    assert line.times_ms == sorted(set(line.times_ms))
    assert line.times_ms[-1] == 1_000_000 + 9_999_000
    points = zip(line.times_ms, line.values, strict=True)
    assert all(value == (at - 1_000_000) / 1_000 for at, value in points)
    assert sampler.curves(["Other"]) == []


def test_lines_are_bounded(tmp_path: Path) -> None:
    """A rule over a thousand series must not make a report of a gigabyte."""
    configuration = load(settings_of(tmp_path))
    engine = configuration.engine
    sampler = CurveSampler(engine, configuration.rule_files)
    samples = [
        Sample(labels_of({"__name__": "level", "service": f"s{n}"}), 1.0, 1_000_000)
        for n in range(100)
    ]
    engine.ingest(samples, 1_000_000)
    sampler.sample(1_000_000)
    (curve,) = sampler.curves(["High"])
    assert len(curve.lines) == 24
