"""A write into Redis that compares where it lands: the last gap of a fence closed."""

from collections.abc import Mapping

from rollbackd.guard.errors import Refusal, WriteRefusedError
from rollbackd.guard.keys import ScopeKeys
from rollbackd.guard.scripts import FENCED_SET, Argument, Call
from rollbackd.guard.work import Work
from rollbackd.guard.writes import Write


def set_fields(
    keys: ScopeKeys, write: Write, key: str, fields: Mapping[str, Argument]
) -> Work[None]:
    """See `Guard.set_fields`."""
    if f"{{{keys.scope}}}" not in key:
        raise ValueError(
            f"key `{key[:160]}` must hold `{{{keys.scope}}}`, the hash tag of the scope"
        )
    if not fields:
        raise ValueError("there is nothing to write")
    written = yield Call(
        FENCED_SET,
        (key,),
        (keys.control("writes"), *write.token, *(item for pair in fields.items() for item in pair)),
        bool,
    )
    if not written:
        raise WriteRefusedError(Refusal.SUPERSEDED, retry_after_seconds=1)
