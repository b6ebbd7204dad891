"""The shipped mappings, each against its samples and what they are expected to become."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from rollbackd.cli.main import app
from rollbackd.events.collecting import Collector
from rollbackd.events.mapping.field_mapping import FieldMapping

MAPPINGS = Path(__file__).parents[3] / "rules" / "mappings"
EXPECTED = Path(__file__).parent / "testdata"


@pytest.mark.parametrize("sample", sorted((MAPPINGS / "samples").iterdir()), ids=lambda p: p.stem)
def test_a_sample_becomes_what_is_expected(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(MAPPINGS)
    found = CliRunner().invoke(app, ["check", "--sample", f"samples/{sample.name}", sample.stem])
    assert found.exit_code == 0
    assert found.stdout == (EXPECTED / f"{sample.stem}.txt").read_text()


def test_every_shipped_mapping_is_sound_and_has_a_sample() -> None:
    files = sorted(MAPPINGS.glob("*.yaml"))
    assert {file.stem for file in files} == {p.stem for p in (MAPPINGS / "samples").iterdir()}
    found = CliRunner().invoke(app, ["check", "--strict", *map(str, files)])
    assert found.exit_code == 0, found.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, "200"),
        ("503", "503"),
        ("RateLimitError", "429"),
        ("ThrottlingException", "429"),
        ("BadRequestError", "400"),
        ("APITimeoutError", "504"),
        ("_OTHER", "500"),
    ],
)
def test_the_exception_of_a_client_is_a_status(error: str | None, code: str) -> None:
    """What a provider throttles or refuses is no server error."""
    event = orjson.loads((MAPPINGS / "samples" / "otel-genai.json").read_bytes())
    event["attributes"]["error.type"] = error
    file, into = MAPPINGS / "otel-genai.yaml", Collector()
    mapping = FieldMapping.read(file.read_text(), file=str(file))
    rejected = mapping.take_records([orjson.dumps(event)], into, now_ms=1_800_000_000_000)
    assert not list(rejected)
    codes = {dict(sample.labels).get("code") for sample in into.samples}
    assert codes - {None} == {code}
