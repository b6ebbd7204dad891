"""The page of one incident, as `rollbackd incidents ID` prints it."""

from io import StringIO

from msgspec.structs import replace
from rich.console import Console

from rollbackd.cli.incident_story import tell
from rollbackd.cli.phrases import moment
from rollbackd.incidents import messages as m
from rollbackd.incidents.joining import with_trigger
from rollbackd.incidents.step import step
from rollbackd.model.incidents import Incident, Intent, State
from rollbackd.model.levers import Change, LeverKind, Observation, Op, Target
from rollbackd.model.triggers import TargetReading, Verdict
from rollbackd.ports import IncidentDetail
from tests.incidents.samples import MINUTE, NOW, SCOPE, opened, trigger_of


def acting() -> Incident:
    """An incident with an act in hand since a minute."""
    target = Target(lever="exec_switch", scope=SCOPE, name="edge")
    change = Change(target=target, before=Observation(value={"x": 1}, version=1), after={"x": 2})
    op = Op(op_id="INC-1:1", epoch=7, incident_id="INC-1")
    intent = Intent(op=op, kind=LeverKind.POINTER, change=change, started_at_ms=NOW - MINUTE)
    return replace(opened(), pending=intent)


def page(detail: IncidentDetail) -> str:
    """As plain text."""
    console = Console(width=200, file=StringIO())
    with console.capture() as shown:
        console.print(tell(detail))
    return shown.get()


def test_it_says_which_act_is_waited_for_and_since_when() -> None:
    """In the head, and in the timeline once it takes long."""
    after, record = step(acting(), m.StillPerforming(since_ms=NOW - MINUTE, first=True), NOW)
    assert record is not None
    told = page(IncidentDetail(incident=after, journal=[record]))
    target = f"exec_switch:edge@{SCOPE}"
    assert f"waiting for {target} since {moment(NOW - MINUTE)}" in told
    assert f"detected => detected: trigger_fired (waits for {target})" in told


def test_who_waits_for_nothing_does_not_say_so() -> None:
    """Nor who was ended while an act was in hand."""
    for incident in (opened(), replace(acting(), state=State.ABORTED, closed_at_ms=NOW)):
        assert "waiting for" not in page(IncidentDetail(incident=incident, journal=[]))


def test_a_reading_is_told_from_its_bound() -> None:
    """A red 0.150004 is not shown as the 0.15 that it is not below."""
    close = TargetReading(
        name="drift", verdict=Verdict.RED, value=0.150004, bound=0.15, direction="below"
    )
    told = page(IncidentDetail(incident=replace(opened(), readings=[close]), journal=[]))
    assert "drift   0.150004  below 0.15  red" in told


def test_a_rule_that_flapped_takes_one_line() -> None:
    """How often it fired and its last value; other label sets are counted."""
    flapped = opened()
    for value in (0.25, 0.125):
        flapped = with_trigger(flapped, trigger_of(value=value))
    told = page(IncidentDetail(incident=replace(flapped, unlisted={"Duplicates": 7}), journal=[]))
    assert "quality_regression = 0.5  3 times, last 0.125  it went wrong" in told
    assert "Duplicates fired 7 more times on other labels" in told
