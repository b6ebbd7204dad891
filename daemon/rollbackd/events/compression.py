"""Unpacking bodies: never more than a bound, however well they were packed."""

import zlib
from typing import Any, Final

from rollbackd.model.events import Rejected

#: Of one record; a body over HTTP is bounded by `http.max_body_bytes`.
MAX_UNPACKED: Final = 32 << 20

_GZIP_WINDOW: Final = 31


def gunzip(body: bytes, limit: int = MAX_UNPACKED) -> bytes:
    """RFC 1952. Raises Rejected."""
    unpacking = zlib.decompressobj(_GZIP_WINDOW)
    try:
        text = unpacking.decompress(body, limit + 1)
    except zlib.error as error:
        raise Rejected(f"not gzip: {error}") from None
    if len(text) > limit:
        raise _too_big(limit)
    if not unpacking.eof:
        raise Rejected("the gzip stream broke off")
    return text


def unsnappy(body: bytes, limit: int = MAX_UNPACKED) -> bytes:
    """Snappy's block format, not its stream format. Raises Rejected.

    The block begins with the length of what is packed in it, so that a bomb is known beforehand:
    https://github.com/google/snappy/blob/main/format_description.txt
    """
    if not body:
        raise Rejected("not a Snappy block: the body is empty")
    cramjam = _cramjam()
    try:
        if cramjam.snappy.decompress_raw_len(body) > limit:
            raise _too_big(limit)
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise Rejected(f"not a Snappy block: {error}") from None


def _cramjam() -> Any:
    import cramjam  # noqa: PLC0415  # the `formats` extra

    return cramjam


def _too_big(limit: int) -> Rejected:
    return Rejected(f"the body is over {limit} bytes when it is unpacked")
