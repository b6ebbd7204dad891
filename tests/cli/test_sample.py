"""`rollbackd check --sample` shows what events become."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from rollbackd.cli.main import app

MAPPING = """
service: $.app
events:
  - event: answer.served
    when: {$.kind: answer}
    values: {latency_seconds: {path: $.ms, unit: ms -> s}, delta_s: $.delta}
"""
GOOD = '{"kind": "answer", "app": "rag", "ms": 412, "who": {"is": "it"}}'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("m.yaml").write_text(MAPPING)
    return tmp_path


def shown(text: str, *arguments: str) -> Result:
    Path("events.ndjson").write_text(text)
    return CliRunner().invoke(app, ["check", "--sample", "events.ndjson", *arguments])


def test_what_is_found_missing_and_not_read_is_shown() -> None:
    result = shown(GOOD, "m.yaml", "--output", "json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    (one,) = said.pop("shown")
    assert said == {"file": "events.ndjson", "events": 1, "refused": 0, "ignored": 0}
    assert [s["series"] for s in one["series"]] == ['latency_seconds{service="rag"}']
    assert one["becomes"] == ["answer.served"]
    assert one["missing"] == {"answer.served values.delta_s": "`$.delta`"}
    assert one["unread"] == ["$.who.is"]


def test_five_are_shown_and_all_are_counted() -> None:
    bad, other = '{"kind": "answer", "app": "rag", "ms": "x"}', '{"kind": "b"}'
    result = shown("\n".join([other, bad, *[GOOD] * 6]), "m.yaml")
    assert result.exit_code == 1
    assert "ignored  no entry takes it" in result.stdout
    assert "refused  `values.latency_seconds`: `$.ms` is `x`" in result.stdout
    assert result.stdout.count("becomes") == 3
    assert "8 events, 1 refused, 1 ignored; 3 more are not shown" in result.stdout


def test_without_a_mapping_events_are_native() -> None:
    event = {"event": "answer.served", "service": "rag", "values": {"delta_s": 0.3}}
    result = shown(json.dumps(event))
    assert result.exit_code == 0
    assert 'series   delta_s{service="rag"}  0.3' in result.stdout


@pytest.mark.parametrize(
    ("text", "arguments", "code"),
    [
        ('{"kind": "b"}', ["m.yaml"], 1),
        ("", ["m.yaml"], 1),
        (GOOD, ["rollbackd.yaml"], 1),
        (GOOD, ["m.yaml", "m.yaml"], 2),
        (GOOD, ["m.yaml", "--output", "short"], 2),
    ],
)
def test_what_shows_nothing_fails(text: str, arguments: list[str], code: int) -> None:
    assert shown(text, *arguments).exit_code == code


@pytest.mark.parametrize("body", ["values: {delta_s: 0.3}", "pins: {MODEL_VER: m}"])
def test_a_time_in_another_unit_is_warned_of(body: str) -> None:
    said = f"{{event: answer.served, service: rag, ts: 1795377, {body}}}"
    result = shown(json.dumps(yaml.safe_load(said)))
    assert result.exit_code == 0
    assert "warning  its time is 1970-01-21T18:42:57.000Z: is it in another unit?" in result.stdout
    assert "warning" not in shown(json.dumps(yaml.safe_load(said) | {"ts": 1795377600})).stdout
