from typing import Any

import pytest

from rollbackd.app.generating.switches import Switches
from rollbackd.cli.demo.application import FLAG, Application
from rollbackd.cli.demo.recording import PLAN
from rollbackd.model.controls import DEFAULTS, Kind


def switches(controls: dict[str, dict[str, Any]]) -> Switches:
    return Application(controls=controls).read(PLAN.scopes[0], PLAN.start_ms)


def test_without_controls_nothing_is_moved() -> None:
    """The default of a control that was never written is that of the daemon."""
    assert switches({}) == Switches()
    written = {FLAG: DEFAULTS[Kind.FLAG]} | {
        kind.value: DEFAULTS[kind]
        for kind in (Kind.THROTTLE, Kind.WRITES, Kind.CACHE, Kind.DEGRADE)
    }
    assert switches(written) == Switches()


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        (FLAG, {"canary_weight": 0.3}, Switches(canary_share=0.3)),
        # the trip switch beats the weight
        (FLAG, {"canary_weight": 1.0, "global_off": True}, Switches()),
        ("writes", {"blocked": True, "scope": "all"}, Switches(writes_blocked=True)),
        ("cache", {"generation": 7, "namespace": "9f2c"}, Switches(cache_generation=7)),
        ("degrade", {"level": 2}, Switches(degrade_level=2)),
        (
            "throttle",
            {"requests_per_second": 50, "burst": 100, "breaker": "closed"},
            Switches(requests_per_second=50.0, burst=100.0),
        ),
        ("throttle", {"requests_per_second": 0, "burst": None}, Switches(requests_per_second=0.0)),
        ("throttle", {"requests_per_second": None, "breaker": "open"}, Switches(breaker_open=True)),
    ],
)
def test_each_control_is_a_switch_of_the_service(
    name: str, value: dict[str, Any], read: Switches
) -> None:
    """And moves no other."""
    assert switches({name: value}) == read
