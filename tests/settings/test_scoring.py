"""`scoring:` in the config file."""

from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.model.scoring import ScoredMetric
from rollbackd.settings import Settings, load_settings
from rollbackd.settings.scoring import ScoringSettings


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "rollbackd.yaml"
    path.write_text(text)
    return load_settings(path)


def test_without_it_nothing_is_scored(tmp_path: Path) -> None:
    assert loaded(tmp_path, "").scoring is None


def test_the_mode_is_enough(tmp_path: Path) -> None:
    found = loaded(tmp_path, "scoring: {mode: embedded}\n").scoring
    assert found == ScoringSettings(mode="embedded")
    assert [ScoredMetric(name) for name in ScoringSettings(mode="vectors").metrics] == list(
        ScoredMetric
    )


def test_what_is_set_is_taken(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    text = """
scoring:
  mode: http
  http: {url: "https://scorer.example/v1/score", token_file: token, timeout: 2s}
  metrics: [delta_s]
  one_in: 10
  batch: 64
  wait: 50ms
  queue: 500
  queue_bytes: 2097152
  attempts: 1
"""
    found = loaded(tmp_path, text).scoring
    assert found is not None
    assert found.http is not None
    assert (found.http.url, found.http.timeout) == ("https://scorer.example/v1/score", 2_000)
    assert (found.metrics, found.one_in, found.batch, found.wait) == (("delta_s",), 10, 64, 50)
    assert (found.queue, found.queue_bytes, found.attempts) == (500, 2 << 20, 1)


def test_the_example_of_the_document_is_the_defaults(tmp_path: Path) -> None:
    document = Path(__file__).parents[2] / "docs" / "scoring.md"
    _, _, example = document.read_text(encoding="utf-8").partition("```yaml\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "scorer").write_text("t\n")
    found = loaded(tmp_path, example.partition("```")[0]).scoring
    assert found is not None
    assert found == ScoringSettings(mode="http", http=found.http)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("{}", "mode"),
        ("{mode: cloud}", "cloud"),
        ("{mode: http}", "`http` is of `mode: http`, and that needs it"),
        ("{mode: embedded, http: {url: 'http://localhost:1'}}", "`http` is of `mode: http`"),
        ("{mode: vectors, metrics: []}", "list is empty"),
        ("{mode: vectors, metrics: [lambda]}", "lambda"),
        ("{mode: vectors, one_in: 0}", "`0`"),
        ("{mode: vectors, batch: 1001}", "`1001`"),
        ("{mode: vectors, queue: 0}", "`0`"),
        ("{mode: vectors, queue_bytes: 5}", "`5`"),
        ("{mode: vectors, attempts: 11}", "`11`"),
        ("{mode: vectors, wait: 0s}", "above `0`"),
        ("{mode: vectors, share: 2}", "share"),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(
    tmp_path: Path, text: str, because: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        loaded(tmp_path, f"scoring: {text}\n")
    (found, *_) = caught.value.diagnostics
    assert found.position.line == 1
    assert because in found.render()
