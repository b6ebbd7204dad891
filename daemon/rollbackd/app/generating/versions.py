"""The pins that the arms run with, and the switches as the pipeline sets them."""

from typing import Final

from rollbackd.app.generating.scenario import Change
from rollbackd.model.pins import Pins

GOOD_PINS: Final[Pins] = {
    "BUILD_ID": "2026.11.08.03",
    "GIT_SHA": "4f1c2ab",
    "MODEL_VER": "gpt-4o-2026-07-15",
    "PROMPT_VER": "p-2026.11.08",
    "INDEX_HASH": "a1d9f0",
    "RERANK_CONF": "bge-rerank-v2@top32",
    "TOK_VER": "tiktoken-2026.07",
    "ANALYZER_CONF": "icu-cjk-folding-v3",
}

#: What each kind of rollout changes.
CHANGED: Final[dict[Change, Pins]] = {
    Change.PROMPT: {"PROMPT_VER": "p-2026.11.22"},
    Change.MODEL: {"MODEL_VER": "gpt-4o-2026-11-02"},
    Change.INDEX: {"INDEX_HASH": "b77c04"},
}

#: What is in neither arm's pins.
UNKNOWN_INDEX: Final = "e3310d"
OTHER_ANALYZER: Final = "icu-folding-v2"

#: Of a retriever's heartbeat.
INDEX_FACTS: Final[Pins] = {"EMBED_DIM": "1024", "metric": "cosine"}
DOCUMENTS: Final = 182_340
#: A new index has documents that the old one has not.
NEW_DOCUMENTS: Final = 184_105

#: The names of the alias and its two indexes.
ALIAS: Final = "docs_live"
GOOD_INDEX: Final = "docs_vA"
NEW_INDEX: Final = "docs_vB"

CONTROLS: Final[dict[str, dict[str, object]]] = {
    "flag:canary": {"baseline_weight": 1.0, "canary_weight": 0.0, "global_off": False},
    f"alias:{ALIAS}": {"index": GOOD_INDEX},
    "pins": {**GOOD_PINS},
}


def canary_pins(change: Change) -> Pins:
    """What the canary runs with."""
    return {**GOOD_PINS, **CHANGED[change]}


def namespace(pins: Pins, generation: int = 0) -> str:
    """The namespace of cache keys made with these pins, in a generation of the cache."""
    versions = ":".join(pins[name] for name in ("INDEX_HASH", "PROMPT_VER", "MODEL_VER"))
    return f"{versions}:g{generation}" if generation else versions
