"""Cache keys that no rolled back version shares (requirements K9, K10).

A key covers the four pins that an answer depends on, and the generation that rollbackd raises when
a cache may be poisoned: going back from B to A must not find what was poisoned while A ran.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final

from rollbackd.guard.framing import framed, netstring
from rollbackd.guard.view import Cache

#: Pins that every cache key depends on.
KEY_PINS: Final = ("INDEX_HASH", "PROMPT_VER", "MODEL_VER", "RERANK_CONF")

_VERSIONS: Final = itemgetter(*KEY_PINS)
_KIND: Final = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")

#: How the keys begin, and what their digests begin with.
Family = tuple[str, bytes]


def cache_key(kind: str, *parts: str, pins: Mapping[str, str], cache: Cache) -> str:
    """`<kind>:g<generation>:<64 hex digits>`, for the parts that name an entry.

    `kind` names a family of entries, such as `q` (query to candidates) or `r` (candidates to
    snippets); the tenant and the locale belong into `parts`. Raises ValueError when one of
    KEY_PINS has no value, or when `kind` is not 1 to 32 of A-Z a-z 0-9 _ -.
    """
    return key_of(family(kind, pins=pins, cache=cache), parts)


def family(kind: str, *, pins: Mapping[str, str], cache: Cache) -> Family:
    """What all keys of a kind have in common under one set of pins. Raises as `cache_key`."""
    try:
        versions = _VERSIONS(pins)
    except KeyError:
        raise _missing(pins) from None
    return _family(kind, cache.generation, cache.namespace, *versions)


def key_of(common: Family, parts: Sequence[str]) -> str:
    """The key of one entry."""
    opening, frame = common
    for part in parts:
        frame += netstring(part)
    return opening + hashlib.sha256(frame).hexdigest()


def checked_pins(pins: Mapping[str, str]) -> Mapping[str, str]:
    """The pins, if none of KEY_PINS is missing or empty. Raises ValueError."""
    if not all(pins.get(pin) for pin in KEY_PINS):
        raise _missing(pins)
    return pins


@lru_cache(maxsize=1024)
def _family(kind: str, generation: int, namespace: str, *versions: str) -> Family:
    if not _KIND.match(kind):
        raise ValueError(f"`{kind[:64]}` is no kind of cache entry; use 1 to 32 of A-Z a-z 0-9 _ -")
    checked_pins(dict(zip(KEY_PINS, versions, strict=True)))
    return f"{kind}:g{generation}:", framed(kind, str(generation), namespace, *versions)


def _missing(pins: Mapping[str, str]) -> ValueError:
    missing = [pin for pin in KEY_PINS if not pins.get(pin)]
    return ValueError(f"a cache key needs the pins {', '.join(missing)}")
