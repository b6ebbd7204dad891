"""Version pins: what a service runs with, by canonical name (requirements 3.1)."""

from typing import Final

#: The pins that the runbook requires with every capture (requirements 3.1).
REQUIRED_PINS: Final = (
    "BUILD_ID",
    "GIT_SHA",
    "MODEL_VER",
    "PROMPT_VER",
    "INDEX_HASH",
    "RERANK_CONF",
    "TOK_VER",
    "ANALYZER_CONF",
)

#: Version pins by canonical name (`INDEX_HASH` -> `a1d9f0`); values are compared as they are.
Pins = dict[str, str]
