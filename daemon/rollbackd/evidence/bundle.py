"""The evidence bundle: all that is known of one incident, in one file that proves itself.

The file is canonical JSON (`documents.canonical_json`). `digest` is "sha256:" and the SHA-256 over
the canonical JSON of everything else.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from rollbackd.documents.canonical_json import canonical_json
from rollbackd.evidence.evaluations import Curve, curves_of
from rollbackd.incidents.chain import first_break
from rollbackd.model.incidents import Incident, JournalRecord

_FORMAT: Final = "rollbackd-evidence/1"


class Aftermath(msgspec.Struct, frozen=True, kw_only=True):
    """What could be seen at the end; a source that failed is named, never waited for."""

    pins_seen: dict[str, dict[str, str]] = {}
    controls: dict[str, object] = {}
    unavailable: list[str] = []


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """The incident with its evidence, journal, receipts and audit, and what stood afterwards."""

    incident: Incident
    journal: list[JournalRecord]
    after: Aftermath
    evaluations: list[Curve] = []
    format: str = _FORMAT
    digest: str = ""


class BundleError(Exception):
    """The file is no evidence bundle that can be read."""


def bundle_of(incident: Incident, journal: Sequence[JournalRecord], after: Aftermath) -> Bundle:
    """The bundle with its digest."""
    bare = Bundle(
        incident=incident, journal=list(journal), after=after, evaluations=curves_of(incident)
    )
    return msgspec.structs.replace(bare, digest=_digest(msgspec.to_builtins(bare)))


def encode_bundle(bundle: Bundle) -> bytes:
    """The bytes of the file."""
    return canonical_json(bundle) + b"\n"


def read_bundle(body: bytes) -> dict[str, Any]:
    """The bundle as JSON data. Raises BundleError."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"it is not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise BundleError(f"it is no evidence bundle: its `format` is not `{_FORMAT}`")
    journal, incident = data.get("journal"), data.get("incident")
    if not isinstance(incident, dict) or not isinstance(journal, list):
        raise BundleError("it is no evidence bundle: `incident` or `journal` is missing")
    if not all(isinstance(record, dict) for record in journal):
        raise BundleError("a record of its journal is not an object")
    return data


def flaw_in(bundle: dict[str, Any]) -> str:
    """What is wrong with a bundle that can be read, or an empty text.

    The journal comes first: it names the record.
    """
    broken = first_break(bundle["journal"], str(bundle["incident"].get("chain_head") or ""))
    if broken is not None:
        return broken.headline
    if bundle.get("digest") != _digest(bundle):
        return "the digest does not match: something outside the journal was edited"
    return ""


def _digest(bundle: dict[str, Any]) -> str:
    bare = {name: value for name, value in bundle.items() if name != "digest"}
    return "sha256:" + hashlib.sha256(canonical_json(bare)).hexdigest()
