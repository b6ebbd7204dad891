"""Whether requests after the flip ran with what it was meant to bring back (requirements A1)."""

from collections.abc import Iterable, Sequence
from typing import Final

from rollbackd.model.events import PinsSeen
from rollbackd.model.incidents import AuditCheck, Evidence, Incident
from rollbackd.model.pins import REQUIRED_PINS

NAME: Final = "pins_in_requests"
#: Requests that were under way at the flip still tell of the pins before it.
GRACE_MS: Final = 60_000
_SHOWN: Final = 5


def served_pins(incident: Incident, seen: Sequence[PinsSeen]) -> AuditCheck:
    """No request ran with a pin that was rolled back, and none lost a required pin on the way.

    `seen` holds the pins of requests later than the flip and its grace. Pins that were missing
    before the first act are not held against the rollback.
    """
    evidence = incident.evidence
    if evidence is None or not incident.flips:
        return AuditCheck(name=NAME, passed=True, detail="nothing was flipped")
    wrong = sorted({*_still_bad(evidence, seen), *_lost(evidence, seen)})
    if wrong:
        rest = len(wrong) - _SHOWN
        detail = "; ".join(wrong[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")
        return AuditCheck(name=NAME, passed=False, detail=detail)
    told = f"{len(seen)} sets of pins" if seen else "no request told of its pins"
    return AuditCheck(name=NAME, passed=True, detail=f"{told} since the flip")


def _still_bad(evidence: Evidence, seen: Iterable[PinsSeen]) -> Iterable[str]:
    before, good = evidence.pins_seen, evidence.known_good_pins
    suspects = [before["canary"]] if "canary" in before else list(before.values())
    bad = {
        (name, value)
        for pins in suspects
        for name, value in pins.items()
        if name in good and good[name] != value
    }
    for each in seen:
        yield from (
            f"arm `{each.arm}` still runs with {name}={value}"
            for name, value in bad
            if each.pins.get(name) == value
        )


def _lost(evidence: Evidence, seen: Iterable[PinsSeen]) -> Iterable[str]:
    expected = [name for name in REQUIRED_PINS if name not in evidence.missing_pins]
    for each in seen:
        if not each.partial:
            lost = (name for name in expected if name not in each.pins)
            yield from (f"arm `{each.arm}` lacks {name}" for name in lost)
