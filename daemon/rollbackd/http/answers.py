"""JSON in and JSON out."""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from rollbackd.http.refusals import Refusal

T = TypeVar("T")

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


def answer(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON response."""
    return json_response(_ENCODER.encode(value), status=status, headers=headers)


def json_response(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A response of what is JSON already."""
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def decode_command(body: bytes, type_: type[T]) -> T:
    """The JSON body of a command. Raises Refusal with where and what is wrong."""
    try:
        return msgspec.json.decode(body, type=type_)
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the body is not what this call takes: {error}") from None
