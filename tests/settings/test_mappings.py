"""Which mapping files there are, and what a topic may name."""

from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.settings import load_settings, shipped_rules
from rollbackd.settings.mappings import mapping_files

MAPPING = "service: s\nevents: [{event: a, code: $.c}]\n"


def config(folder: Path, topic: str, *, mappings: str = "[]") -> Path:
    path = folder / "rollbackd.yaml"
    kafka = f"kafka: {{bootstrap_servers: [k:9092], topics: [{topic}]}}"
    path.write_text(f"mappings: {mappings}\n{kafka}\n")
    return path


def test_a_file_of_ones_own_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "rag-answer.yaml"
    own.write_text(MAPPING)
    (tmp_path / "mine.yml").write_text(MAPPING)
    found = mapping_files([tmp_path], shipped_rules() / "mappings")
    assert found["rag-answer"] == own
    assert {"mine", "nginx-access", "envoy-access", "otel-genai"} <= found.keys()


def test_a_topic_names_a_shipped_mapping_or_one_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MAPPING)
    topics = "{name: a, mapping: rag-answer}, {name: b, mapping: mine}"
    settings = load_settings(config(tmp_path, topics, mappings="[mine.yaml]"))
    assert settings.mappings == [tmp_path / "mine.yaml"]
    assert settings.kafka is not None
    assert [topic.mapping for topic in settings.kafka.topics] == ["rag-answer", "mine"]


@pytest.mark.parametrize(
    ("topic", "mappings", "id_"),
    [
        ("{name: a, mapping: rag-answers}", "[]", "config/no-such-mapping"),
        ("{name: a, mapping: rag-answer, format: native}", "[]", "config/exclusive-keys"),
        ("{name: a}", "[nowhere]", "config/no-such-file"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, topic: str, mappings: str, id_: str) -> None:
    with pytest.raises(DocumentError) as refused:
        load_settings(config(tmp_path, topic, mappings=mappings))
    assert [problem.id for problem in refused.value.diagnostics] == [id_]
