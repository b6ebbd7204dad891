"""Flags are made once for a control, and anew when it is another one."""

import msgspec
import pytest

from rollbackd.http.flag_cache import FlagCache
from rollbackd.http.flags import ALWAYS, CACHE_GENERATION, keys_of
from rollbackd.model.controls import Control
from rollbackd.model.labels import Scope

SCOPE, OTHER = Scope("rag", "eu-1"), Scope("rag", "us-1")


def flag(name: str, canary: float, version: int = 1) -> Control:
    weights: dict[str, object] = {"baseline_weight": 1 - canary, "canary_weight": canary}
    return Control(name=f"flag:{name}", intent=weights, version=version)


def board(*controls: Control) -> dict[str, Control]:
    return {control.name: control for control in controls}


def values(cache: FlagCache, controls: dict[str, Control], scope: Scope = SCOPE) -> dict[str, bool]:
    """The flags that are not there by themselves."""
    answers = [each.rest.result for each in cache.all(controls, scope)]
    own = set(keys_of(controls)) - set(keys_of(()))
    return {a.key: bool(getattr(a, "value", None)) for a in answers if a.key in own}


def test_a_flag_whose_control_stands_is_not_made_again() -> None:
    cache, controls = FlagCache(), board(flag("canary", 1.0))
    first = cache.one(controls, "canary", SCOPE)
    assert cache.one(controls, "canary", SCOPE) is first
    assert cache.one(dict(controls), "canary", SCOPE) is first
    assert cache.one(controls, "writes", SCOPE) is cache.one(controls, "writes", SCOPE)


@pytest.mark.parametrize("in_place", [True, False])
def test_a_control_that_changed_is_seen_at_once(*, in_place: bool) -> None:
    cache, controls = FlagCache(), board(flag("canary", 1.0), flag("other", 1.0))
    assert values(cache, controls) == {"canary": True, "other": True}
    changed = controls if in_place else dict(controls)
    changed["flag:canary"] = flag("canary", 0.0, version=2)
    assert values(cache, changed) == {"canary": False, "other": True}
    assert b"false" in cache.one(changed, "canary", SCOPE).for_user("u").body


def test_a_control_that_is_new_is_seen_at_once() -> None:
    cache, controls = FlagCache(), board(flag("canary", 1.0))
    assert values(cache, controls) == {"canary": True}
    fence: dict[str, object] = {"blocked": True, "scope": "all", "retry_after_seconds": 5}
    controls |= board(flag("other", 0.0), Control(name="writes", intent=fence, version=1))
    assert values(cache, controls) == {"canary": True, "other": False}
    assert b"blocked_all" in cache.one(controls, "writes", SCOPE).rest.body


def test_scopes_do_not_see_each_other() -> None:
    cache = FlagCache()
    on, off = board(flag("canary", 1.0)), board(flag("canary", 0.0))
    assert values(cache, on) == {"canary": True}
    assert values(cache, off, OTHER) == {"canary": False}
    assert values(cache, on) == {"canary": True}


def test_every_scope_has_the_flags_that_are_always_there() -> None:
    keys = {each.rest.result.key for each in FlagCache().all({}, SCOPE)}
    assert keys == {*ALWAYS, CACHE_GENERATION}


def test_what_callers_ask_for_does_not_fill_it() -> None:
    cache, controls = FlagCache(), board(flag("canary", 1.0))
    cache.one(controls, "canary", SCOPE)
    before = msgspec.json.encode(list(cache._scopes)), len(cache._scopes[SCOPE].flags)
    for number in range(50):
        assert cache.one(controls, f"made-up-{number}", SCOPE).rest.is_missing
        assert cache.one({}, "canary", Scope(f"made-up-{number}", "eu")).rest.is_missing
        cache.one({}, "writes", Scope(f"made-up-{number}", "eu"))
    assert before == (msgspec.json.encode(list(cache._scopes)), len(cache._scopes[SCOPE].flags))
