"""What may stand in a control: its name, and its value as JSON."""

import re
from typing import Final

import msgspec

from rollbackd.errors import PermanentError
from rollbackd.model.controls import DEFAULTS, ControlValue, Kind, kind_of

#: How long the result of an op is remembered, so that its repetition is known as such.
OP_MEMORY_MS: Final = 7 * 86_400_000

MAX_VALUE_BYTES: Final = 65_536

_NAME: Final = re.compile(r"^[a-z]+(?::[A-Za-z0-9._-]{1,128})?$")
_VALUE: Final = msgspec.json.Decoder(dict[str, object])


class BadControlError(PermanentError, ValueError):
    """A control's name or value that cannot be used."""


def checked_name(name: str) -> str:
    """The name, if it is `kind` or `kind:name`. Raises BadControlError."""
    try:
        known = bool(_NAME.match(name)) and kind_of(name)
    except ValueError:
        known = False
    if not known:
        kinds = ", ".join(f"`{kind}`" for kind in Kind)
        raise BadControlError(
            f"`{name[:160]}` is not a control; it must be a kind ({kinds}), or a kind with a name"
            " of 1 to 128 of A-Z a-z 0-9 . _ - such as `flag:reranker`"
        )
    return name


def encode_value(name: str, value: ControlValue) -> str:
    """The value as JSON text. Raises BadControlError when it would not read back the same."""
    try:
        text = msgspec.json.encode(value)
        same = _VALUE.decode(text) == value
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        same = False
    if not same:
        raise BadControlError(
            f"the value of control `{name}` must be a JSON object of finite numbers, text,"
            " booleans, lists and objects"
        )
    if len(text) > MAX_VALUE_BYTES:
        raise BadControlError(f"the value of control `{name}` is over {MAX_VALUE_BYTES} bytes")
    return text.decode()


def decode_value(text: str | bytes | None) -> ControlValue | None:
    """The value that `encode_value` wrote; None where nothing stands. Raises PermanentError."""
    if not text:
        return None
    try:
        return _VALUE.decode(text)
    except msgspec.MsgspecError as error:
        raise PermanentError(f"a stored control value cannot be read: {error}") from None


def default_value(name: str) -> str:
    """What applications see where neither a trip nor an intent stands, as JSON text."""
    return msgspec.json.encode(DEFAULTS[kind_of(name)]).decode()
