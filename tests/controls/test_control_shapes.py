"""A value that an application could not use is refused, with what is wrong and what is allowed."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.guard.view import View, read_view
from rollbackd.model.control_shapes import check_growth, check_shape
from rollbackd.model.controls import DEFAULTS, ControlValue, Kind

GOOD: list[tuple[str, ControlValue]] = [
    *((str(kind), value) for kind, value in DEFAULTS.items()),
    ("flag:canary", {"baseline_weight": 9, "canary_weight": 0.5}),
    ("flag:canary", {"baseline_weight": 0, "canary_weight": 1, "global_off": True}),
    ("alias:docs_live", {"index": "docs_vA"}),
    ("pointer:live", {"target": "blue"}),
    ("pins", {"PROMPT_VER": "p-12"}),
    ("degrade", {"level": 4}),
    ("writes", {"blocked": True, "scope": "all", "retry_after_seconds": 30}),
    ("consumers", {"paused": True, "groups": ["billing"]}),
    ("cache", {"generation": 7}),
    ("throttle", {}),
    ("throttle", {"requests_per_second": 0.5, "tenant_burst": 3, "breaker": "half_open"}),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_what_applications_can_use_is_allowed(name: str, value: ControlValue) -> None:
    """Every default is."""
    check_shape(name, value)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("degrade", {"level": 7}, "`int` <= 4 at `level: 7`. It has `level` (integer, 0 to 4)"),
        ("degrade", {"lvl": 1}, "no field `lvl`; did you mean `level`? It has `level` (integer"),
        ("degrade", {"level": 2.0}, "at `level: 2.0`"),
        ("degrade", {"level": True}, "got `bool` at `level: True`"),
        ("degrade", {}, "missing required field `level`"),
        ("flag:c", {"baseline_weight": -1, "canary_weight": 1}, "at `baseline_weight: -1`"),
        ("flag:c", {"baseline_weight": 0, "canary_weight": 0.0}, "gives no arm a weight over 0"),
        ("flag:c", {"canary_weight": 0.1}, "missing required field `baseline_weight`"),
        ("flag:c", {"baseline_weight": 1, "canary_weight": 1e300}, "at `canary_weight: 1e+300`"),
        ("flag:c", {"on": True}, "no field `on`. It has `baseline_weight` (number of at least 0)"),
        ("alias:a", {"index": None}, "at `index: None`. It has `index` (text of at most 256"),
        ("alias:a", {"index": "x" * 300}, "length <= 256 at `index: 'xxx"),
        ("pointer:p", {"index": "x"}, "no field `index`. It has `target`"),
        ("writes", {"blocked": True}, "`scope` is to be `non_idempotent` or `all`"),
        ("writes", {"blocked": "no"}, "(true or false), `scope` (`none` or `non_idempotent` or"),
        ("consumers", {"groups": []}, "missing required field `paused`. It has `paused` (true or"),
        ("consumers", {"paused": True, "groups": [""]}, "`groups` (list of texts, at most 100)"),
        ("cache", {"generation": -1}, "at `generation: -1`"),
        ("throttle", {"burst": "x"}, "at `burst: 'x'`. It has `requests_per_second` (number of"),
        ("throttle", {"breaker": "ajar"}, "(`closed` or `half_open` or `open`)"),
        ("pins", {"PROMPT_VER": 12}, "version pins by name"),
        ("pins", {"": "x"}, "version pins by name"),
    ],
)
def test_what_applications_cannot_use_is_refused(name: str, value: ControlValue, says: str) -> None:
    """With the field, what was given and what is allowed."""
    with pytest.raises(ValueError, match=re.escape(says)) as refused:
        check_shape(name, value)
    assert f"control `{name}`" in str(refused.value)


def test_a_generation_only_grows() -> None:
    """It may stay; a value that cannot be read does not hold it."""
    check_growth({"generation": 7}, {"generation": 7})
    check_growth({"generation": "7"}, {"generation": 0})
    with pytest.raises(ValueError, match="generation 6 is below 7"):
        check_growth({"generation": 7}, {"generation": 6})


numbers = st.none() | st.booleans() | st.integers(-2, 6) | st.floats(allow_nan=False) | st.text()
fields = st.sampled_from(sorted({name for value in DEFAULTS.values() for name in value} | {"x"}))


@given(st.sampled_from(Kind), st.dictionaries(fields, numbers, max_size=3))
def test_the_guard_reads_whatever_is_allowed(kind: Kind, value: ControlValue) -> None:
    """And nothing but a ValueError comes out."""
    try:
        check_shape(str(kind), value)
    except ValueError:
        return
    view = read_view(View(), {str(kind): [msgspec.json.encode(value), b"1", b"0"]})
    assert view.unreadable == ()
    assert str(kind) in view.tokens
