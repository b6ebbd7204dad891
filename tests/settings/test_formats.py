"""Formats of other programs in the config file."""

from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.settings import FormatSettings, Settings, load_settings
from rollbackd.settings.values import TOPIC_FORMATS


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "rollbackd.yaml"
    path.write_text(text)
    return load_settings(path)


def test_what_is_set_is_taken(tmp_path: Path) -> None:
    assert loaded(tmp_path, "").formats == FormatSettings()
    text = "formats: {otlp_resource_labels: {host.name: host}, telegraf_timestamp_unit: 1ms}\n"
    formats = loaded(tmp_path, text).formats
    assert formats.otlp_resource_labels == {"host.name": "host"}
    assert formats.telegraf_timestamp_unit == "1ms"


@pytest.mark.parametrize(
    "text", ["{telegraf_timestamp_unit: 1h}", "{otlp_resource_labels: [a]}", "{otlp: 1}"]
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(DocumentError):
        loaded(tmp_path, f"formats: {text}\n")


@pytest.mark.parametrize("name", TOPIC_FORMATS)
def test_every_format_may_be_declared(tmp_path: Path, name: str) -> None:
    text = f"kafka: {{bootstrap_servers: ['b:9092'], topics: [{{name: t, format: {name}}}]}}\n"
    kafka = loaded(tmp_path, text).kafka
    assert kafka is not None
    assert kafka.topics[0].format == name
