from itertools import islice
from typing import Any

import pytest

from rollbackd.cli.demo.application import BASELINE, CANARY, FLAG, Application
from rollbackd.cli.demo.recording import Request, Rollout, record

REQUESTS = list(islice(record(Rollout()), 4_000))


def application(**controls: dict[str, Any]) -> Application:
    return Application(controls=dict(controls))


def served_with(controls: dict[str, dict[str, Any]], requests: list[Request] = REQUESTS) -> Any:
    app = Application(controls=controls)
    return app, [app.serve(request) for request in requests]


def test_without_controls_everybody_is_on_the_baseline() -> None:
    """The default of a flag that was never written is off."""
    app, served = served_with({})
    assert {s.arm for s in served} == {BASELINE}
    assert app.share(BASELINE) == 1.0
    assert app.shed_share() == 0.0


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.5, 1.0])
def test_the_weight_of_the_flag_is_the_share_of_the_canary(weight: float) -> None:
    """The effective weight routes."""
    _, served = served_with({FLAG: {"canary_weight": weight}})
    assert sum(s.arm == CANARY for s in served) / len(served) == pytest.approx(weight, abs=0.03)


def test_a_user_stays_on_the_canary_when_its_weight_grows() -> None:
    """Routing is sticky."""
    _, few = served_with({FLAG: {"canary_weight": 0.2}})
    _, more = served_with({FLAG: {"canary_weight": 0.5}})
    assert all(m.arm == CANARY for f, m in zip(few, more, strict=True) if f.arm == CANARY)


def test_the_kill_switch_beats_the_weight() -> None:
    """`global_off` sends everybody to the baseline."""
    _, served = served_with({FLAG: {"canary_weight": 1.0, "global_off": True}})
    assert {s.arm for s in served} == {BASELINE}


def test_the_throttle_sheds_what_is_over_the_budget() -> None:
    """16 requests a second through a limit of 4."""
    limit = {"requests_per_second": 4, "burst": 4, "breaker": "closed"}
    _, served = served_with({"throttle": limit})
    passed = sum(not s.shed for s in served) / len(served)
    assert passed == pytest.approx(4 / 16, abs=0.02)


def test_a_throttle_above_the_traffic_sheds_nothing() -> None:
    """The demo's own limit does not hurt its users."""
    limit = {"requests_per_second": 50, "burst": 100, "breaker": "closed"}
    _, served = served_with({"throttle": limit})
    assert not any(s.shed for s in served)


def test_an_open_breaker_sheds_everything() -> None:
    """Open means closed for business."""
    _, served = served_with({"throttle": {"requests_per_second": None, "breaker": "open"}})
    assert all(s.shed for s in served)


def test_a_write_block_defers_writes_and_only_writes() -> None:
    """Reads go on."""
    _, served = served_with({"writes": {"blocked": True}})
    assert all(s.deferred == s.request.writes for s in served)
    assert any(s.deferred for s in served)


def test_a_new_cache_generation_makes_a_cold_cache() -> None:
    """The namespace is part of every key, so nothing old is read again."""
    app, _ = served_with({"cache": {"generation": 1}})
    assert app.serve(REQUESTS[0]).cached
    app.controls = {"cache": {"generation": 2}}
    assert not app.serve(REQUESTS[0]).cached
    assert app.serve(REQUESTS[0]).cached


def test_arms_share_no_cache() -> None:
    """Or the canary's answers would outlive it."""
    app = application()
    app.serve(REQUESTS[0])
    app.controls = {FLAG: {"canary_weight": 1.0}}
    assert not app.serve(REQUESTS[0]).cached


def test_a_degraded_service_is_faster() -> None:
    """That is what the level is for."""
    _, normal = served_with({})
    _, degraded = served_with({"degrade": {"level": 2}})
    assert degraded[0].outcome.latency_ms < normal[0].outcome.latency_ms
