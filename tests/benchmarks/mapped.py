"""Events of others, and the mappings that read them."""

import json
import re
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[2]

MAPPED: Final = ("mapping", "rag-answer")


def mapping_of(name: str) -> str:
    """The text of a mapping: that of the quickstart, or a shipped one."""
    if name == "mapping":
        return _of_page("answers.yaml")
    return (_ROOT / "rules" / "mappings" / f"{name}.yaml").read_text()


def others(name: str, count: int, *, start_ms: int) -> list[bytes]:
    """One event a millisecond; they differ in time, values and user."""
    made: list[bytes] = []
    if name == "mapping":
        event: dict[str, Any] = json.loads(_of_page("answer.json"))
        for n in range(count):
            event |= {"when": start_ms + n, "took_ms": n % 997}
            event["scores"]["groundedness_pct"] = n % 100
            made.append(_text(event))
        return made
    event = json.loads((_ROOT / "rules" / "mappings" / "samples" / f"{name}.json").read_text())
    del event["probe"]
    for n in range(count):
        event["ts"] = (start_ms + n) / 1_000
        event["quality"]["delta_s"] = n % 1_000 / 1_000
        event["user"]["id"] = f"u-{n}"
        made.append(_text(event))
    return made


def _text(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def _of_page(name: str) -> str:
    page = (_ROOT / "docs" / "quickstart.md").read_text()
    found = re.search(
        rf"^`{re.escape(name)}`\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    )
    assert found is not None
    return found[1]
