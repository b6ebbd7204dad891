"""The root cause as a journal record."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from rollbackd.incidents.chain import first_break
from rollbackd.incidents.closing import CAUSE_CLASSES, file_root_cause
from rollbackd.model.incidents import RootCause, State
from tests.evidence.drift import drift_incident
from tests.incidents.samples import NOW

_LATER = NOW + 3_600_000


def cause_of(**changes: Any) -> RootCause:
    cause = RootCause(
        cause_class="pin_drift", summary="p2 was never evaluated", owner="eve",
        link="https://tickets/7", by="bob", filed_at_ms=_LATER,
    )  # fmt: skip
    return replace(cause, **changes)


def test_it_goes_into_the_chain_and_moves_nothing() -> None:
    """The state stays; the record follows the last one."""
    incident, journal = drift_incident()
    after, record = file_root_cause(incident, cause_of())
    assert after.root_cause == cause_of()
    assert (after.state, after.version) == (State.CLOSED, incident.version + 1)
    assert (record.from_state, record.to_state) == (State.CLOSED, State.CLOSED)
    assert record.detail["owner"] == "eve"
    records = [msgspec.to_builtins(each) for each in (*journal, record)]
    assert first_break(records, after.chain_head) is None


def test_a_second_filing_replaces_the_first() -> None:
    """The journal keeps both."""
    incident, journal = drift_incident()
    once, first = file_root_cause(incident, cause_of())
    twice, second = file_root_cause(once, cause_of(cause_class="other"))
    assert twice.root_cause == cause_of(cause_class="other")
    records = [msgspec.to_builtins(each) for each in (*journal, first, second)]
    assert first_break(records, twice.chain_head) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cause_class": ""}, "`cause` must not be empty"),
        ({"summary": " \n"}, "`summary` must not be empty"),
        ({"owner": "", "link": ""}, "`owner`, `link` must not be empty"),
        ({"cause_class": "gremlins"}, "cause `gremlins` is not known; it must be one of pin_drift"),
    ],
)
def test_an_empty_field_or_an_unknown_class_is_refused(changes: Any, said: str) -> None:
    """By its name."""
    with pytest.raises(ValueError, match=said):
        file_root_cause(drift_incident()[0], cause_of(**changes))


def test_an_open_incident_is_refused() -> None:
    """Nobody knows yet."""
    incident = replace(drift_incident()[0], state=State.WATCHING)
    with pytest.raises(ValueError, match=r"is open \(watching\)"):
        file_root_cause(incident, cause_of())


def test_the_classes_are_those_of_the_runbook() -> None:
    """A5 and the post-mortem page."""
    assert CAUSE_CLASSES == (
        "pin_drift", "index_swap_error", "cache_namespace_bug", "idempotency_missing",
        "load_controls_weak", "boot_ordering", "prompt_regression", "other",
    )  # fmt: skip
