"""Mappings of the tests, and what they make of events."""

import json
from typing import Any

from rollbackd.events.collecting import Collector
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.model.events import Batch

#: 2026-01-15T10:00:00Z, and a minute later.
AT = 1_768_471_200_000
NOW = AT + 60_000


def mapping(entry: str, *, before: str = "") -> FieldMapping:
    """One entry, given as the YAML below `- event: answer.served`."""
    lines = "\n".join(f"    {line}" for line in entry.strip("\n").splitlines())
    text = f"{before}\nservice: rag\nevents:\n  - event: answer.served\n{lines}\n"
    return FieldMapping.read(text, file="mapping.yaml")


def taken(by: FieldMapping, *events: Any) -> tuple[Batch, list[str]]:
    """What came of events, one a record, and why some were refused."""
    into = Collector()
    rejected = by.take_records([json.dumps(e).encode() for e in events], into, now_ms=NOW)
    return into.batch(), [str(error) for _, error in rejected]


def samples(by: FieldMapping, *events: Any) -> dict[str, float]:
    """Metric -> value, of events that are all taken."""
    batch, refused = taken(by, *events)
    assert refused == []
    return {dict(sample.labels)["__name__"]: sample.value for sample in batch.samples}
