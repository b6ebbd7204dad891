"""A1: what requests ran with after the flip."""

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from rollbackd.evidence.pins import SETS_OF_A_SCOPE, PinsTable
from rollbackd.evidence.served_pins import served_pins
from rollbackd.model.events import PinsSeen
from rollbackd.model.incidents import Incident, State
from rollbackd.model.labels import Scope
from rollbackd.telemetry import Telemetry
from tests.incidents.samples import NOW, PINS, SCOPE, opened
from tests.incidents.walking import Walk

BAD = {**PINS, "PROMPT_VER": "p2"}


def flipped() -> Incident:
    """An incident whose canary ran with another prompt pack; its flip stands."""
    walk = Walk(opened())
    walk.to(State.AUDITING)
    return walk.incident


def seen(pins: dict[str, str], arm: str = "baseline", time_ms: int = NOW) -> PinsSeen:
    return PinsSeen(scope=SCOPE, arm=arm, pins=pins, time_ms=time_ms)


def test_requests_with_the_known_good_pins_pass() -> None:
    check = served_pins(flipped(), [seen(PINS), seen({**PINS, "LOCALE": "de"})])
    assert (check.passed, check.detail) == (True, "2 sets of pins since the flip")


def test_a_request_that_still_runs_with_the_bad_pin_is_named() -> None:
    check = served_pins(flipped(), [seen(PINS), seen(BAD, "canary")])
    assert (check.passed, check.detail) == (
        False,
        "arm `canary` still runs with PROMPT_VER=p2",
    )


def test_one_event_that_lacks_a_required_pin_fails_and_names_it() -> None:
    lacking = {name: value for name, value in PINS.items() if name != "TOK_VER"}
    check = served_pins(flipped(), [seen(PINS), seen(lacking)])
    assert (check.passed, check.detail) == (False, "arm `baseline` lacks TOK_VER")


def test_a_retriever_knows_the_pins_of_the_index_and_no_others() -> None:
    """What it lacks is not lost; what it still reads is still bad."""
    index = {"INDEX_HASH": PINS["INDEX_HASH"]}
    assert served_pins(flipped(), [seen(PINS), replace(seen(index), partial=True)]).passed
    assert not served_pins(flipped(), [seen(PINS), replace(seen(BAD), partial=True)]).passed


def test_a_retriever_does_not_say_what_its_arm_runs_with() -> None:
    """Not even later than the arm; alone, it is all that is known. Nothing counts as missing."""
    registry = CollectorRegistry()
    table = PinsTable(Telemetry(registry))
    index = {"INDEX_HASH": "i2"}
    table.note(replace(seen(index, time_ms=5), partial=True))
    assert table.of(SCOPE) == {"baseline": index}
    table.note(seen(PINS, time_ms=4))
    table.note(replace(seen(index, time_ms=6), partial=True))
    assert table.of(SCOPE) == {"baseline": PINS}
    assert [each.pins for each in table.since(SCOPE, 3)] == [PINS, index]
    missing = "rollbackd_events_missing_pins_total"
    assert registry.get_sample_value(missing, {"pin": "PROMPT_VER"}) == 0


def test_a_pin_that_was_missing_before_is_not_held_against_the_rollback() -> None:
    incident = flipped()
    assert incident.evidence is not None
    lacking = {name: value for name, value in PINS.items() if name != "TOK_VER"}
    evidence = replace(incident.evidence, missing_pins=["TOK_VER"])
    assert served_pins(replace(incident, evidence=evidence), [seen(lacking)]).passed


def test_without_a_flip_or_a_request_there_is_nothing_to_find() -> None:
    assert served_pins(flipped(), []).passed
    assert served_pins(opened(), [seen(BAD)]).passed
    assert served_pins(replace(flipped(), flips=[]), [seen(BAD)]).passed


def test_the_table_tells_every_set_of_pins_after_a_time() -> None:
    table = PinsTable(Telemetry(CollectorRegistry()))
    table.note_all([seen(BAD, "canary", 5), seen(PINS, time_ms=7), seen(PINS, time_ms=6)])
    assert table.since(SCOPE, 5) == [seen(PINS, time_ms=7)]
    assert table.since(SCOPE, 4) == [seen(BAD, "canary", 5), seen(PINS, time_ms=7)]
    assert table.since(Scope("mail"), 0) == []


def test_the_table_is_bounded() -> None:
    table = PinsTable(Telemetry(CollectorRegistry()))
    for number in range(SETS_OF_A_SCOPE + 1):
        table.note(seen({**PINS, "BUILD_ID": str(number)}, time_ms=number + 1))
    kept = table.since(SCOPE, 0)
    assert len(kept) == SETS_OF_A_SCOPE
    assert kept[0].pins["BUILD_ID"] == "1"
