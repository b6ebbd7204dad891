"""The shipped mappings, each against its samples and what they are expected to become."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rollbackd.cli.main import app

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
