"""Typed JSON decoding whose every failure is a Rejected that shows the offending value."""

import re
from typing import Final, TypeVar

import msgspec
import orjson

from rollbackd.model.events import Rejected

_T = TypeVar("_T")

#: msgspec ends a message with the path: ``Expected `float`, got `null` - at `$.values[...]` ``.
_PATH: Final = re.compile(r"^(.*) - at `\$\.?([A-Za-z_]\w*)?(.*)`$")
_SHOWN: Final = 120
#: What users wrote stands behind these keys, and in no message.
_PRIVATE: Final = ("texts", "vectors")


def decode_json(decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw) -> _T:
    """Decode one JSON value. Raises Rejected, whatever the bytes are."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Rejected(_explain(str(error), bytes(body))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Rejected(f"not JSON: {error}; it begins `{_begin(bytes(body))}`") from None
    except RecursionError:
        raise Rejected("nested too deeply") from None


def _explain(message: str, body: bytes) -> str:
    match = _PATH.match(message)
    if match is None:
        return f"{_lower(message)}: `{_begin(body)}`"
    what, field, rest = match.groups()
    fix = "; no data is not a number: leave it out" if "got `null`" in what else ""
    if field in _PRIVATE:
        return f"`{field}{rest}`: {_lower(what)}{fix}"
    if field is None:
        return f"`${rest}`: {_lower(what)}{fix}"
    return f"`{field}{rest}`: {_lower(what)} in `{_begin(_value_of(field, body))}`{fix}"


def _value_of(field: str, body: bytes) -> bytes:
    try:
        whole = orjson.loads(body)
        return orjson.dumps(whole[field])
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, KeyError, TypeError, RecursionError):
        return body


def _begin(body: bytes) -> str:
    public = body
    for key in _PRIVATE:
        public = public.partition(f'"{key}"'.encode())[0]
    text = public[: _SHOWN + 1].decode("utf-8", "replace")
    return text if len(body) == len(public) <= _SHOWN else f"{text[:_SHOWN]}..."


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
