"""Signatures of webhook messages, by the Standard Webhooks specification. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import binascii
import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import Final

from rollbackd.errors import TemporaryError
from rollbackd.settings import Secret

_PREFIX: Final = "whsec_"


def signed_headers(message_id: str, body: bytes, now_ms: int, key: Secret | None) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` and, with a key, `webhook-signature`.

    The key is `whsec_` and base64, as receivers are given it. Raises TemporaryError for a key that
    is none: the file may be mended.
    """
    timestamp = str(now_ms // 1_000)
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp}
    if key is not None:
        content = b".".join([message_id.encode(), timestamp.encode(), body])
        digest = hmac.new(_raw(key), content, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{b64encode(digest).decode()}"
    return headers


def _raw(key: Secret) -> bytes:
    text = key.reveal()
    try:
        raw = b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not raw or not text.startswith(_PREFIX):
        raise TemporaryError("the signing key is not `whsec_` and base64")
    return raw
