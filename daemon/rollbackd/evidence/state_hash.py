"""What a scope was rolled back to, as one hash, so that regions can be compared."""

import hashlib
from collections.abc import Mapping
from typing import Final

from rollbackd.documents.canonical_json import canonical_json
from rollbackd.model.controls import Control, Kind, kind_of

#: Where a scope points to. Measures that are given back and cache generations, which each region
#: counts for itself, say nothing about that.
_POINTING: Final = frozenset({Kind.FLAG, Kind.ALIAS, Kind.POINTER, Kind.PINS})


def state_hash(controls: Mapping[str, Control]) -> str:
    """`sha256:` over the effective values of flags, aliases, pointers and pins, by name.

    Neither the region nor a time is in it: two regions that were rolled back to the same have the
    same hash.
    """
    state = {
        name: control.effective for name, control in controls.items() if kind_of(name) in _POINTING
    }
    return "sha256:" + hashlib.sha256(canonical_json(state)).hexdigest()
