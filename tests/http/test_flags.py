"""Controls as flags: what a key and a user get, whatever was written."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.http.flag_cache import FlagCache
from rollbackd.http.flags import (
    ErrorCode,
    Evaluation,
    EvaluationFailure,
    EvaluationReason,
    flag_of,
)
from rollbackd.model.controls import Control, Kind
from rollbackd.model.labels import Scope

SCOPE = Scope("rag", "eu-1")
STATIC, SPLIT = EvaluationReason.STATIC, EvaluationReason.SPLIT
KILL = {"baseline_weight": 1.0, "canary_weight": 0.0, "global_off": True}


def evaluate(
    controls: dict[str, Control], key: str, user: str | None, scope: Scope = SCOPE
) -> Evaluation | EvaluationFailure:
    answer = flag_of(controls, key, scope).for_user(user)
    assert answer.body == msgspec.json.encode(answer.result)
    return answer.result


def evaluate_all(
    controls: dict[str, Control], user: str | None
) -> list[Evaluation | EvaluationFailure]:
    return [flag.for_user(user).result for flag in FlagCache().all(controls, SCOPE)]


def intent(name: str, **value: Any) -> dict[str, Control]:
    return {name: Control(name=name, intent=value, version=1)}


def weights(canary: object, baseline: object = None) -> dict[str, Control]:
    if baseline is None and isinstance(canary, float):
        baseline = 1.0 - canary
    return intent("flag:canary", baseline_weight=baseline, canary_weight=canary)


def seen(controls: dict[str, Control], key: str, user: str | None = None) -> Any:
    """Value, variant and reason of an answer that has a value."""
    answer = evaluate(controls, key, user)
    assert isinstance(answer, Evaluation), answer
    return answer.value, answer.variant, answer.reason


def arm(share: float, name: str) -> bool:
    value, _, _ = seen(weights(share), "canary", name)
    return bool(value)


shares = st.floats(0, 1)
users = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(name=users, low=shares, high=shares)
def test_a_greater_share_only_moves_users_to_the_canary(name: str, low: float, high: float) -> None:
    """And a smaller one only moves them back."""
    low, high = sorted((low, high))
    assert not (arm(low, name) and not arm(high, name))


@given(name=users, share=shares)
def test_a_user_has_one_arm_in_every_region_and_under_every_key(name: str, share: float) -> None:
    other = Scope("search", "us-2")
    controls = weights(share)
    answers = [
        evaluate(controls, key, name, scope)
        for key in ("canary", "flag:canary")
        for scope in (SCOPE, other)
    ]
    assert len({(a.value, a.reason) for a in answers if isinstance(a, Evaluation)}) == 1
    assert len(answers) == 4


@given(name=users, share=shares)
def test_after_a_rollback_users_come_back_to_the_arm_that_they_had(name: str, share: float) -> None:
    (control,) = weights(share).values()
    tripped = {"flag:canary": msgspec.structs.replace(control, trip=KILL, version=2)}
    assert seen(tripped, "canary", name) == (False, "off", STATIC)
    given_back = {"flag:canary": msgspec.structs.replace(control, version=3)}
    assert seen(given_back, "canary", name)[0] is arm(share, name)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_users_are_spread_by_the_weights(share: float) -> None:
    """20,000 users: within five standard deviations of a fair draw, so that it never flickers."""
    number = 20_000
    on = sum(arm(share, f"user-{n}") for n in range(number))
    assert abs(on - number * share) < 5 * (number * share * (1 - share)) ** 0.5


def test_flags_split_independently_of_each_other() -> None:
    controls = weights(0.5) | intent("flag:other", baseline_weight=1, canary_weight=1)
    both = sum(
        seen(controls, "canary", f"u{n}")[0] and seen(controls, "other", f"u{n}")[0]
        for n in range(8_000)
    )
    assert abs(both - 2_000) < 200


def test_weights_are_relative_to_each_other() -> None:
    for name in map(str, range(200)):
        wide = seen(weights(10, 90), "canary", name)
        assert wide == seen(weights(0.1, 0.9), "canary", name)
        assert wide[1:] == ("on" if wide[0] else "off", SPLIT)


def test_the_place_of_a_user_is_the_documented_hash() -> None:
    """Whoever computes it elsewhere gets the same arms."""
    for name in ("alice", "bob", "ünïcode"):
        encoded = name.encode()
        text = b"6:bucket,6:canary,%d:%b," % (len(encoded), encoded)
        place = (int(hashlib.sha256(text).hexdigest()[:16], 16) >> 11) / 2**53
        assert arm(place, name) is False
        assert arm(place + 1e-9, name) is True


@pytest.mark.parametrize("user", [None, "", "alice"])
@pytest.mark.parametrize(
    "value",
    [
        KILL,
        {"baseline_weight": 0.0, "canary_weight": 1.0, "global_off": True},
        {"baseline_weight": 0.5, "canary_weight": 0.5, "global_off": "yes"},
        {"baseline_weight": 0.5, "canary_weight": 0.5, "global_off": 1},
        {"baseline_weight": 0.5, "canary_weight": 0.5, "global_off": None},
        {"baseline_weight": 1.0, "canary_weight": 0.0},
        {"baseline_weight": 0, "canary_weight": 0},
        {"baseline_weight": -1, "canary_weight": 2},
        {"baseline_weight": "0.5", "canary_weight": 0.5},
        {"baseline_weight": 0.5, "canary_weight": True},
        {"baseline_weight": 10**400, "canary_weight": 10**400},
        {"canary_weight": 0.5},
        {},
    ],
)
def test_a_flag_that_is_killed_or_cannot_be_read_is_off_for_everybody(
    value: dict[str, object], user: str | None
) -> None:
    assert seen(intent("flag:canary", **value), "canary", user) == (False, "off", STATIC)


def test_a_flag_that_is_on_for_all_needs_no_user() -> None:
    assert seen(weights(1.0), "canary") == (True, "on", STATIC)


@pytest.mark.parametrize("user", [None, ""])
def test_a_split_flag_asks_for_the_user(user: str | None) -> None:
    answer = evaluate(weights(0.5), "canary", user)
    assert isinstance(answer, EvaluationFailure)
    assert answer.error_code is ErrorCode.TARGETING_KEY_MISSING
    assert "targetingKey" in answer.error_details


@pytest.mark.parametrize(
    ("control", "key", "value", "variant"),
    [
        (intent("degrade", level=3), "degrade", 3, "L3"),
        (
            intent("writes", blocked=True, scope="all", retry_after_seconds=9),
            "writes",
            {"blocked": True, "scope": "all", "retry_after_seconds": 9},
            "blocked_all",
        ),
        (intent("cache", generation=7, namespace="9f2c"), "cache_generation", 7, "g7"),
        (
            intent("cache", generation=7, namespace="9f2c"),
            "cache",
            {"generation": 7, "namespace": "9f2c"},
            "g7",
        ),
        (
            intent("throttle", requests_per_second=20, burst=40, breaker="closed"),
            "throttle",
            {"requests_per_second": 20, "burst": 40, "breaker": "closed"},
            "limited",
        ),
        (
            intent("throttle", requests_per_second=None, tenant_burst=5, breaker="open"),
            "throttle",
            {"requests_per_second": None, "burst": None, "tenant_burst": 5, "breaker": "open"},
            "breaker_open",
        ),
        (
            intent("consumers", paused=True, groups=["billing"]),
            "consumers",
            {"paused": True, "groups": ["billing"]},
            "paused",
        ),
        (intent("alias:docs_live", index="docs_vA"), "alias:docs_live", "docs_vA", "docs_vA"),
        (intent("pointer:live", target="blue"), "pointer:live", "blue", "blue"),
        (intent("pins", PROMPT_VER="p-12"), "pins", {"PROMPT_VER": "p-12"}, "pinned"),
    ],
)
def test_every_kind_has_its_type(
    control: dict[str, Control], key: str, value: object, variant: str
) -> None:
    answer = evaluate(control, key, None)
    assert isinstance(answer, Evaluation)
    assert (answer.value, answer.variant, answer.reason) == (value, variant, STATIC)
    assert "malformed" not in answer.metadata


def test_what_was_never_written_has_its_default_or_is_not_found() -> None:
    assert {a.key: a.value for a in evaluate_all({}, None) if isinstance(a, Evaluation)} == {
        "cache": {"generation": 0, "namespace": ""},
        "cache_generation": 0,
        "consumers": {"paused": False, "groups": []},
        "degrade": 0,
        "pins": {},
        "throttle": {"requests_per_second": None, "burst": None, "breaker": "closed"},
        "writes": {"blocked": False, "scope": "none", "retry_after_seconds": 0},
    }
    for key in ("canary", "flag", "flag:", "alias:docs_live", "pointer", "degrade:x", "a:b", ""):
        answer = evaluate({}, key, None)
        assert isinstance(answer, EvaluationFailure)
        assert answer.error_code is ErrorCode.FLAG_NOT_FOUND


def test_an_alias_that_points_at_nothing_is_not_found() -> None:
    controls = intent("alias:docs_live", index="")
    answer = evaluate(controls, "alias:docs_live", None)
    assert isinstance(answer, EvaluationFailure)
    assert "points at nothing" in answer.error_details
    assert "alias:docs_live" not in {answer.key for answer in evaluate_all(controls, None)}


def test_a_flag_called_like_a_control_goes_by_its_full_name() -> None:
    controls = intent("flag:degrade", **KILL) | intent("flag", **KILL)
    assert seen(controls, "degrade")[0] == 0
    assert seen(controls, "flag:degrade")[0] is False
    assert {"degrade", "flag:degrade", "flag"} <= {a.key for a in evaluate_all(controls, None)}


def test_every_flag_carries_where_it_comes_from() -> None:
    control = Control(
        name="flag:canary", intent={}, trip=KILL, version=4, epoch=9, incident_id="inc-1"
    )
    answer = evaluate({"flag:canary": control}, "canary", None)
    assert isinstance(answer, Evaluation)
    assert answer.metadata == {
        "scope": "rag/eu-1",
        "control": "flag:canary",
        "version": 4,
        "tripped": True,
        "incident_id": "inc-1",
    }


def test_a_fence_that_is_spelled_wrong_still_is_one() -> None:
    controls = intent("writes", blocked="yes", scope="some", retry_after_seconds=-1)
    answer = evaluate(controls, "writes", None)
    assert isinstance(answer, Evaluation)
    assert answer.value == {"blocked": True, "scope": "all", "retry_after_seconds": 30}
    assert answer.metadata["malformed"] is True


def test_a_pause_that_is_spelled_wrong_still_is_one() -> None:
    """And of every group."""
    answer = evaluate(intent("consumers", paused="yes", groups=[7]), "consumers", None)
    assert isinstance(answer, Evaluation)
    assert (answer.value, answer.variant) == ({"paused": True, "groups": []}, "paused_all")
    assert answer.metadata["malformed"] is True


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from([
    "baseline_weight", "canary_weight", "global_off", "index", "target", "level", "blocked",
    "scope", "retry_after_seconds", "generation", "namespace", "requests_per_second", "burst",
    "breaker", "tenant_burst", "PROMPT_VER", "paused", "groups",
])  # fmt: skip
TYPES: dict[Kind, type] = {
    Kind.FLAG: bool, Kind.ALIAS: str, Kind.POINTER: str, Kind.DEGRADE: int,
    Kind.PINS: dict, Kind.WRITES: dict, Kind.CACHE: dict, Kind.THROTTLE: dict,
    Kind.CONSUMERS: dict,
}  # fmt: skip


@given(kind=st.sampled_from(Kind), value=st.dictionaries(fields, json_values), name=users)
def test_whatever_was_written_every_answer_has_the_type_of_its_kind(
    kind: Kind, value: dict[str, object], name: str
) -> None:
    """With a variant, and a reason that the official SDK knows; an empty pointer is not found."""
    for answer in evaluate_all(intent(kind, **value), name):
        assert isinstance(answer, Evaluation), answer
        wanted = int if answer.key == "cache_generation" else TYPES[Kind(answer.key)]
        assert type(answer.value) is wanted
        assert answer.variant
        assert json.loads(msgspec.json.encode(answer))["reason"] in {"STATIC", "SPLIT"}
