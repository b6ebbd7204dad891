"""Pin names as senders write them -> canonical names (requirements 3.1)."""

from typing import Final

from rollbackd.events.series import bounded, label_name, shown
from rollbackd.model.events import Rejected
from rollbackd.model.pins import REQUIRED_PINS, Pins

MAX_PINS: Final = 64

#: Recorded when present; `metric` is lower case wherever it is written.
_OPTIONAL: Final = (
    "EMBED_MODEL_VER", "EMBED_DIM", "NORM", "metric", "CHUNK_SCHEMA_VER", "TOOL_SCHEMA_VER",
    "RERANK_HASH",
)  # fmt: skip

_ALIASES: Final = {
    **{name.lower(): name for name in (*REQUIRED_PINS, *_OPTIONAL)},
    "embed_model": "EMBED_MODEL_VER",
    "analyzer": "ANALYZER_CONF",
    "build": "BUILD_ID",
    "tokenizer_ver": "TOK_VER",
    "model_id": "MODEL_VER",
    "model_tag": "MODEL_VER",
    "model_rev": "MODEL_VER",
    "prompt_rev": "PROMPT_VER",
}


def canonical_pins(items: tuple[tuple[str, str], ...]) -> Pins:
    """Pins by canonical name; names that we do not know stay as they are. Raises Rejected."""
    if len(items) > MAX_PINS:
        raise Rejected(f"`pins`: {len(items)} pins; at most {MAX_PINS} are allowed")
    pins: Pins = {}
    for written, value in items:
        name = _ALIASES.get(written.lower(), written)
        if pins.setdefault(label_name("pins", name), bounded(f"pins.{written}", value)) != value:
            raise Rejected(
                f"`pins`: {name} is `{shown(pins[name])}`, but `{written}` says `{shown(value)}`;"
                " say it once"
            )
    return pins
