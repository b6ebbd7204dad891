"""Cache keys that no rolled back version shares (requirements K9, K10).

A key covers the four pins that an answer depends on, and the generation that rollbackd raises when
a cache may be poisoned: going back from B to A must not find what was poisoned while A ran.
"""

import re
from collections.abc import Mapping
from typing import Final

from rollbackd.guard.framing import digest
from rollbackd.guard.view import Cache

#: Pins that every cache key depends on.
KEY_PINS: Final = ("INDEX_HASH", "PROMPT_VER", "MODEL_VER", "RERANK_CONF")

_KIND: Final = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")


def cache_key(kind: str, *parts: str, pins: Mapping[str, str], cache: Cache) -> str:
    """`<kind>:g<generation>:<64 hex digits>`, for the parts that name an entry.

    `kind` names a family of entries, such as `q` (query to candidates) or `r` (candidates to
    snippets); the tenant and the locale belong into `parts`. Raises ValueError when one of
    KEY_PINS has no value, or when `kind` is not 1 to 32 of A-Z a-z 0-9 _ -.
    """
    if not _KIND.match(kind):
        raise ValueError(f"`{kind[:64]}` is no kind of cache entry; use 1 to 32 of A-Z a-z 0-9 _ -")
    checked = checked_pins(pins)
    covered = digest(
        kind, str(cache.generation), cache.namespace, *(checked[pin] for pin in KEY_PINS), *parts
    )
    return f"{kind}:g{cache.generation}:{covered}"


def checked_pins(pins: Mapping[str, str]) -> Mapping[str, str]:
    """The pins, if none of KEY_PINS is missing or empty. Raises ValueError."""
    missing = [pin for pin in KEY_PINS if not pins.get(pin)]
    if missing:
        raise ValueError(f"a cache key needs the pins {', '.join(missing)}")
    return pins
