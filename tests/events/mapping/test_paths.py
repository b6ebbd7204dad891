"""Paths are the singular queries of RFC 9535, and nothing more."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.events.mapping.paths import PathError, compile_path, parse_path

EVENT: dict[str, Any] = {
    "a": {"b": [{"c.d": 1}, {"é": 2}], "n": None},
    "x": "text",
    "_1": True,
    "'": {'"': 3},
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", EVENT),
        ("$.x", "text"),
        ("$.a.b", EVENT["a"]["b"]),
        ("$.a.b[0]['c.d']", 1),
        ('$.a.b[0]["c.d"]', 1),
        ("$['a']['b'][1].é", 2),
        ("$.a .b [-1] .é", 2),
        ("$._1", True),
        (r"$['\'']['\"']".replace(r"\"", '"'), 3),
        (r"$['\u0061'].n", None),
        ("$.a.b[2]", None),
        ("$.a.b[-3]", None),
        ("$.x[0]", None),
        ("$.x.y", None),
        ("$.a[0]", None),
        ("$.no.way.here", None),
    ],
)
def test_a_path_finds_one_place_or_nothing(path: str, value: Any) -> None:
    assert compile_path(parse_path(path))(EVENT, None) == value


def test_an_item_has_paths_of_its_own() -> None:
    get = compile_path(parse_path("@.k"))
    assert [get(EVENT, item) for item in ({"k": 1}, {}, 7, [1])] == [1, None, None, None]


@pytest.mark.parametrize(
    ("path", "offset"),
    [
        ("a.b", 0),
        ("$a", 1),
        ("$.a[*]", 3),
        ("$.a.*", 3),
        ("$..a", 1),
        ("$.a[1:2]", 3),
        ("$.a[?@.b]", 3),
        ("$.a[0,1]", 3),
        ("$.a[01]", 3),
        ("$.a[-0]", 3),
        ("$.1a", 1),
        ("$.a-b", 3),
        ("$.a ", 3),
        ("$['a", 1),
        (r"$['\x']", 1),
        (r"$['\ud800']", 1),
        ("$" + ".a" * 17, 0),
    ],
)
def test_anything_else_is_refused_where_it_ends_to_be_one(path: str, offset: int) -> None:
    with pytest.raises(PathError) as refused:
        parse_path(path)
    assert refused.value.offset == offset


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-9, 9), max_size=9))
def test_a_quoted_path_names_what_it_was_made_of(steps: list[str | int]) -> None:
    def quoted(step: str | int) -> str:
        if isinstance(step, int):
            return f"[{step}]"
        return "['" + step.replace("\\", "\\\\").replace("'", "\\'") + "']"

    assert list(parse_path("$" + "".join(map(quoted, steps))).steps) == steps
