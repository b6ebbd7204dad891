"""The bounds of detectors in the config file."""

from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.settings import Settings, load_settings
from rollbackd.settings.detectors import DetectorSettings

_DAY_MS = 86_400_000


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "rollbackd.yaml"
    path.write_text(text)
    return load_settings(path)


def test_every_bound_has_a_default(tmp_path: Path) -> None:
    assert loaded(tmp_path, "").detectors == DetectorSettings()
    assert loaded(tmp_path, "detectors: {tool_loops: {}}\n").detectors == DetectorSettings()


def test_what_is_set_is_taken(tmp_path: Path) -> None:
    text = """
detectors:
  scopes: 7
  flip_propagation: 30s
  duplicate_effects: {keys: 50000000}
  mixed_versions: {window: 5m}
  sticky_breaks: {users: 9, window: 97d}
  index_mismatch: {reader_ttl: 10s, missing_documents: 0}
  throttle_storms: {limit: 0.05, adherence: 0.9}
"""
    detectors = loaded(tmp_path, text).detectors
    assert (detectors.scopes, detectors.flip_propagation_ms) == (7, 30_000)
    assert detectors.duplicate_effects.keys == 50_000_000
    assert detectors.mixed_versions.window_ms == 300_000
    assert (detectors.sticky_breaks.users, detectors.sticky_breaks.window_ms) == (9, 97 * _DAY_MS)
    assert detectors.index_mismatch.reader_ttl_ms == 10_000
    assert detectors.index_mismatch.missing_documents == 0
    assert detectors.throttle_storms.limit == 0.05
    assert detectors.throttle_storms.calm == 0.01


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("{duplicate_effects: {keys: 0}}", "`0`"),
        ("{duplicate_effects: {keys: many}}", "many"),
        ("{mixed_versions: {window: 0s}}", "above `0`"),
        ("{sticky_breaks: {window: 98d}}", "at most `97d`"),
        ("{tool_loops: {repeats: 1}}", "`1`"),
        ("{throttle_storms: {limit: 2}}", "`2`"),
        ("{throttle_storms: {calm: 0.03}}", "`calm` is `0.03`, above `limit`, which is `0.02`"),
        ("{duplicate_effect: {}}", "duplicate_effects"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(
    tmp_path: Path, text: str, because: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        loaded(tmp_path, f"detectors: {text}\n")
    (found, *_) = caught.value.diagnostics
    assert found.position.line == 1
    assert because in found.render()
