"""JSON pointers into an answer (RFC 6901), with placeholders in their tokens."""

import re
from typing import Any, Final

from rollbackd.errors import PermanentError
from rollbackd.levers.placeholders import Values, check_text, fill_text

_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_ESCAPE: Final = re.compile(r"~(?![01])")


def check_pointer(pointer: str, allowed: tuple[str, ...], where: str) -> None:
    """Raise ValueError for what is no JSON pointer."""
    check_text(pointer, allowed, where)
    if (pointer and not pointer.startswith("/")) or _ESCAPE.search(pointer):
        raise ValueError(
            f"`{where}`: `{pointer[:80]}` is no JSON pointer; write it as `/spec/weight`, with "
            "`~1` for a slash within a name"
        )


def follow(document: Any, pointer: str, values: Values) -> object:
    """What the pointer leads to. Raises PermanentError where there is nothing."""
    here = document
    for token in pointer.split("/")[1:]:
        # filled after the split: a slash in a value is part of a name
        key = fill_text(token.replace("~1", "/").replace("~0", "~"), values)
        if isinstance(here, dict) and key in here:
            here = here[key]
        elif isinstance(here, list) and _INDEX.fullmatch(key) and int(key) < len(here):
            here = here[int(key)]
        else:
            raise PermanentError(f"the answer has nothing at `{pointer}` (no `{key[:80]}`)")
    return here
