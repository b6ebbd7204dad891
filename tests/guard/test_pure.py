"""Keys, buckets and breakers: what needs no Redis."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.guard import (
    Arm,
    BreakerOpenError,
    BreakerState,
    CircuitBreaker,
    Refusal,
    WriteRefusedError,
    idempotency_key,
)
from rollbackd.guard.admission import Limit, LocalBuckets
from rollbackd.guard.bucketing import arm_of, bucket, canary_share
from rollbackd.guard.cache_keys import KEY_PINS, cache_key
from rollbackd.guard.framing import digest
from rollbackd.guard.view import Cache, Token
from tests.guard.driving import PINS

texts = st.lists(st.text(max_size=4), max_size=4)
weights = st.floats(0, 1e308) | st.integers(0, 100)


@given(texts, texts)
def test_no_two_lists_of_texts_have_one_digest(one: list[str], other: list[str]) -> None:
    """Concatenation would: ("ab", "c") and ("a", "bc")."""
    assert (digest(*one) == digest(*other)) == (one == other)


@given(st.text(max_size=3), st.text(max_size=3), st.text(max_size=3), st.text(max_size=3))
def test_an_idempotency_key_tells_tenants_things_and_actions_apart(
    tenant: str, thing: str, other_tenant: str, other_thing: str
) -> None:
    """K12: and the index only where it is named."""
    one = idempotency_key(source_type="s", source_id=thing, action="a", tenant=tenant)
    two = idempotency_key(source_type="s", source_id=other_thing, action="a", tenant=other_tenant)
    assert (one == two) == ((tenant, thing) == (other_tenant, other_thing))


@pytest.mark.parametrize("pin", KEY_PINS)
def test_a_cache_key_covers_each_pin_and_the_generation(pin: str) -> None:
    """K9, K10: without one there is no key."""
    here = cache_key("q", "what?", pins=PINS, cache=Cache(1, "n"))
    others = {
        cache_key("q", "what?", pins={**PINS, pin: "other"}, cache=Cache(1, "n")),
        cache_key("q", "what?", pins=PINS, cache=Cache(2, "n")),
        cache_key("q", "what?", pins=PINS, cache=Cache(1, "m")),
        cache_key("r", "what?", pins=PINS, cache=Cache(1, "n")),
        cache_key("q", "what", "?", pins=PINS, cache=Cache(1, "n")),
    }
    assert here not in others
    assert len(others) == 5
    with pytest.raises(ValueError, match=pin):
        cache_key("q", pins={**PINS, pin: ""}, cache=Cache())
    with pytest.raises(ValueError, match="kind"):
        cache_key("q:", pins=PINS, cache=Cache())


@given(st.text(), st.text(), weights, weights, weights)
def test_a_growing_weight_takes_users_to_the_canary_and_none_back(
    flag: str, user: str, baseline: float, small: float, large: float
) -> None:
    """P2: nobody moves twice on the way up, and killing the flag moves everybody once."""
    small, large = sorted((small, large))
    value = {"baseline_weight": baseline, "canary_weight": small}
    assert 0 <= bucket(flag, user) < 1
    assert 0 <= canary_share(value) <= 1
    if arm_of(canary_share(value), flag, user) is Arm.CANARY:
        more = canary_share({**value, "canary_weight": large})
        assert arm_of(more, flag, user) is Arm.CANARY
    assert arm_of(canary_share({**value, "global_off": True}), flag, user) is Arm.BASELINE


def test_users_are_spread_evenly_and_flags_are_independent() -> None:
    """A tenth of ten thousand, give or take three standard deviations; of those, a tenth again."""
    first = [n for n in range(10_000) if bucket("a", f"u{n}") < 0.1]
    both = [n for n in first if bucket("b", f"u{n}") < 0.1]
    assert abs(len(first) - 1_000) < 100
    assert abs(len(both) - len(first) / 10) < 40


@pytest.mark.parametrize("weight", [None, True, "1", -1, float("nan"), float("inf"), 10**400])
def test_a_weight_that_is_none_sends_nobody(weight: object) -> None:
    """Nor does one that is missing."""
    assert canary_share({"baseline_weight": 0, "canary_weight": weight}) == 0
    assert canary_share({"baseline_weight": weight, "canary_weight": 1}) == 0
    assert canary_share({}) == 0


def test_a_bucket_is_where_it_was_in_every_version() -> None:
    """A change of the function would move users between arms."""
    assert digest("ab", "c") == ("c574c25172ecac17c428975b6e876d2a98a72d84660fc96686f942390b360cd8")
    assert bucket("reranker", "user-1") == 0.87851466583013


@given(
    st.tuples(st.integers(0, 2**53), st.integers(0, 10**9)),
    st.tuples(st.integers(0, 2**53), st.integers(0, 10**9)),
)
def test_tokens_sort_as_text_as_they_do_as_numbers(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    """So that a target can keep either."""
    a, b = Token(*one), Token(*other)
    assert (a < b) == (str(a) < str(b))


@given(st.floats(0.1, 100), st.integers(1, 20), st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_a_local_bucket_never_over_admits(rate: float, burst: int, pauses: list[float]) -> None:
    """As the one in Redis."""
    now = [0.0]
    buckets = LocalBuckets(lambda: now[0])
    limit = Limit("k", rate, burst)
    admitted = 0
    for pause in pauses:
        now[0] += pause
        admitted += buckets.take([limit], 1.0) == 0
    assert admitted <= burst + rate * now[0] + 1e-6


def test_a_breaker_opens_cools_down_tries_and_closes() -> None:
    """Or opens again; the control can only make it stricter."""
    now, forced = [0.0], ["closed"]
    breaker = CircuitBreaker(
        clock=lambda: now[0], forced=lambda: forced[0], failures=2, cool_down_seconds=10
    )

    def call(*, fails: bool) -> None:
        with breaker.call():
            if fails:
                raise OSError

    for _ in range(2):
        with pytest.raises(OSError):  # noqa: PT011
            call(fails=True)
    assert breaker.state is BreakerState.OPEN
    with pytest.raises(BreakerOpenError) as refused:
        call(fails=False)
    assert refused.value.headers == {"Retry-After": "10"}
    now[0] = 10.0
    with pytest.raises(OSError):  # noqa: PT011
        call(fails=True)
    assert breaker.state is BreakerState.OPEN
    now[0] = 20.0
    with breaker.call():
        assert breaker.state is BreakerState.HALF_OPEN
        with pytest.raises(BreakerOpenError):
            call(fails=False)
    assert breaker.state is BreakerState.CLOSED
    forced[0] = "half_open"
    with breaker.call(), pytest.raises(BreakerOpenError):
        call(fails=False)
    forced[0] = "open"
    with pytest.raises(BreakerOpenError):
        call(fails=False)


def test_it_needs_nothing_of_the_daemon() -> None:
    """With everything but redis-py blocked, it still can be imported."""
    blocked = "aiohttp aiokafka msgspec orjson prometheus_client promql_parser yaml rich typer"
    code = (
        f"import sys\nfor name in {blocked.split()!r}: sys.modules[name] = None\n"
        "import rollbackd.guard\n"
        "mine = {m for m in sys.modules if m.startswith('rollbackd.')}\n"
        "assert all(m.startswith('rollbackd.guard') for m in mine), mine\n"
        "other = {m.split('.')[0] for m, it in sys.modules.items() if it is not None}\n"
        "other -= set(sys.stdlib_module_names)\n"
        "assert not other & {'aiohttp', 'msgspec'} and 'redis' in other, other\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("reason", "counted_as", "header"),
    [
        (Refusal.FROZEN, 423, {"X-Rollbackd-Refused": "frozen"}),
        (Refusal.SUPERSEDED, 423, {"X-Rollbackd-Refused": "frozen"}),
        (Refusal.STALE, 503, {}),
    ],
)
def test_a_freeze_is_no_error_of_the_service(
    reason: Refusal, counted_as: int, header: dict[str, str]
) -> None:
    """Clients get the same 503 whatever the reason; a guard that cannot read is an error."""
    refused = WriteRefusedError(reason, retry_after_seconds=7)
    assert (refused.status, refused.counted_as) == (503, counted_as)
    assert refused.headers == {"Retry-After": "7", **header}


_FORKING = """
import os, sys
from rollbackd.guard import WriteRefusedError
from rollbackd.guard.view import View
from rollbackd.guard.writes import Gate

gate = Gate(lease_seconds=60, clock=lambda: 0.0)
gate.advance(View(), read_at=0.0)
child = os.fork()
if child == 0:
    try:
        gate.enter(idempotent=True)
    except WriteRefusedError:
        os._exit(7)
    os._exit(0)
gate.enter(idempotent=False)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_guard_does_not_survive_a_fork() -> None:
    """The parent answers for itself alone: the copy reads nothing, and nobody waits for it."""
    found = subprocess.run(
        [sys.executable, "-c", _FORKING], capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 7, found.stderr
    assert "make one in each process" in found.stderr
