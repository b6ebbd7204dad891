"""Known good sets: their status, their names, and what may be asked to be recorded."""

import hashlib
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from rollbackd.documents.canonical_json import canonical_json
from rollbackd.model.labels import Scope
from rollbackd.model.pins import Pins

#: So many sets of a scope are kept; the oldest go first, the one in force never does.
SETS_KEPT: Final = 100

#: The arm whose window is measured, and whose pins count as those of the service.
BASELINE_ARM: Final = "baseline"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS: Final = 253_402_300_799_000

#: metric -> statistic -> value
Baseline = dict[str, dict[str, float]]


class SetStatus(StrEnum):
    """What a recorded set may be used for."""

    #: Recorded before anybody knows whether it is good; nothing is rolled back to it.
    CANDIDATE = "candidate"
    #: The newest of these is what its scope is rolled back to.
    GOOD = "good"
    #: Was found not to be good after all, or is of no use any more.
    RETIRED = "retired"


def set_id(scope: Scope, recorded_at_ms: int, content: object) -> str:
    """`KG-<UTC time>-<8 hex digits>`: the same for the same content, recorded at the same time."""
    said = hashlib.sha256(canonical_json([str(scope), recorded_at_ms, content])).hexdigest()
    at = _EPOCH + timedelta(milliseconds=min(max(0, recorded_at_ms), _LATEST_MS))
    return f"KG-{at:%Y%m%dT%H%M%S}-{said[:8]}"


class PinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be recorded as a known good set."""

    scope: Scope
    #: Laid over those that the arm was seen with, when `from_live` is set.
    pins: Pins = {}
    from_live: bool = False
    #: Which arm is the service: its pins and its samples are taken.
    arm: str = BASELINE_ARM
    #: How much of the live windows to measure; None takes all that is kept, 0 measures nothing.
    window_ms: int | None = None
    #: A baseline that the caller has measured; then nothing is measured here.
    baseline: Baseline = {}
    note: str = ""
    status: SetStatus = SetStatus.GOOD
    #: Record it although required pins are unknown, or a lever cannot read its target.
    allow_missing: bool = False
    #: Names the request: the same key gives the same set again.
    key: str = ""
