"""Placeholders in the texts of a levers file: nothing that is put in becomes more than a value."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.errors import PermanentError
from rollbackd.levers.json_pointer import check_pointer, follow
from rollbackd.levers.placeholders import (
    OF_MOVE,
    OF_TARGET,
    check_json,
    check_path,
    check_text,
    fill_argument,
    fill_json,
    fill_path,
    fill_text,
    values_of,
)
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op, Target

TARGET = Target(lever="any", scope=Scope("rag", "eu-1"), name="docs")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def test_a_call_has_the_target_the_values_and_the_op() -> None:
    op = Op(op_id="INC-1:2", epoch=5, incident_id="INC-1")
    values = values_of(TARGET, before={"index": "b"}, after={"index": "a", "weight": 3}, op=op)
    assert fill_text("{name} {service} {region} {op_id} {incident_id}", values) == (
        "docs rag eu-1 INC-1:2 INC-1"
    )
    assert fill_text("{before.index}->{after.index} {{{after.weight}}}", values) == "b->a {3}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{nam}", "`{nam}` has no value there; there are `{name}`, `{service}`, `{region}`"),
        ("{after.x}", "has no value there"),
        ("{op_id}", "has no value there"),
        ("a{b", "write `{{` for a brace"),
        ("a}b", "write `}}` for a brace"),
        ("{}", "write `{{` for a brace"),
        ("{name.__class__}", "has no value there"),
        ("a\nb", "control character"),
    ],
)
def test_what_cannot_be_filled_is_refused_at_load(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"`part`") as refused:
        check_text(text, OF_TARGET, "part")
    assert says in str(refused.value)


@pytest.mark.parametrize("path", ["x/y", "/a/../b", "/a/%2e%2E/b", "/a?b=c", "/a#b", "/a b", "/."])
def test_what_is_no_path_is_refused_at_load(path: str) -> None:
    with pytest.raises(ValueError, match=r"`part`"):
        check_path(path, OF_TARGET, "part")


def test_keys_of_a_body_hold_no_placeholder() -> None:
    check_json({"a": ["{after.x}", 1, None]}, OF_MOVE, "body")
    with pytest.raises(ValueError, match=r"the key `\{name\}` has a brace"):
        check_json([{"{name}": 1}], OF_MOVE, "body")
    with pytest.raises(ValueError, match=r"`\{nam\}` has no value"):
        check_json({"a": [{"b": "{nam}"}]}, OF_MOVE, "body")


@given(texts)
def test_a_value_in_a_path_stays_in_its_segment(text: str) -> None:
    """Or it is refused; it is never a step up, another segment, a query or a fragment."""
    try:
        filled = fill_path("/a/x{name}/b/{name}", {"name": text})
    except PermanentError:
        assert text in {"", ".", ".."} or any(ord(c) < 32 or ord(c) == 127 for c in text)
        return
    assert [unquote(segment) for segment in filled.split("/")] == ["", "a", f"x{text}", "b", text]
    assert not set(filled) & set("?#\\ \"'<>{}")


@pytest.mark.parametrize("text", ["", ".", ".."])
def test_what_would_change_the_path_is_refused(text: str) -> None:
    """An empty name would ask for the whole collection."""
    with pytest.raises(PermanentError, match="no part of a path"):
        fill_path("/flags/{name}", {"name": text})


def test_two_halves_of_a_step_up_are_refused() -> None:
    with pytest.raises(PermanentError, match="no part of a path"):
        fill_path("/flags/.{name}", {"name": "."})


@given(texts, st.recursive(st.none() | st.booleans() | st.integers() | texts, st.lists))
def test_a_value_in_a_body_is_a_json_value(text: str, value: Any) -> None:
    """It keeps its type where it stands alone, and is a text within one."""
    template = {"a": "{after.x}", "b": ["say {name}"], "c": "{{"}
    filled = fill_json(template, {"name": text, "after.x": value})
    assert json.loads(json.dumps(filled)) == {"a": value, "b": [f"say {text}"], "c": "{"}


@pytest.mark.parametrize("text", ["a'b", 'a"b', "a b; rm", "$(x)", "../x", "{name}", "{{", "é", ""])
def test_a_value_in_an_argument_is_taken_as_it_is(text: str) -> None:
    """What looks like a placeholder in a value is none."""
    assert fill_argument("--to={name}", {"name": text}) == f"--to={text}"
    assert fill_argument("{name}", {"name": text}) == text


@pytest.mark.parametrize("text", ["a\0b", "a\nb", "\x1b[2J", "\ud800"])
def test_control_characters_are_refused(text: str) -> None:
    for fill in (fill_text, fill_path, fill_argument):
        with pytest.raises(PermanentError):
            fill("/{name}", {"name": text})


def test_a_value_is_no_option() -> None:
    """`-rf` for a name would be one; within an argument it cannot be."""
    with pytest.raises(PermanentError, match="taken for an option"):
        fill_argument("{name}", {"name": "-rf"})
    assert fill_argument("--delta={after.x}", {"after.x": -3}) == "--delta=-3"


def test_what_was_not_observed_has_no_value() -> None:
    with pytest.raises(PermanentError, match=r"no value for `{after.y}`"):
        fill_text("{after.y}", {"after.x": 1})


DOCUMENT = {"a": [{"b": 1}, {"c/d": {"~": None}}], "": "empty", "x/y": 3}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/", "empty"),
        ("/a/0/b", 1),
        ("/a/1/c~1d/~0", None),
        ("/{name}", 3),
    ],
)
def test_a_pointer_leads_to_a_value(pointer: str, value: object) -> None:
    """RFC 6901, 4; a slash in a name that is put in is part of it."""
    check_pointer(pointer, OF_TARGET, "part")
    assert follow(DOCUMENT, pointer, {"name": "x/y"}) == value


@pytest.mark.parametrize("pointer", ["/b", "/a/2", "/a/-", "/a/01", "/a/x", "/a/0/b/c", "/a/-1"])
def test_a_pointer_to_nothing_is_named(pointer: str) -> None:
    with pytest.raises(PermanentError, match=f"nothing at `{pointer}`"):
        follow(DOCUMENT, pointer, {})


@pytest.mark.parametrize("pointer", ["a/b", "/a~2", "/a~", "/{nam}"])
def test_what_is_no_pointer_is_refused_at_load(pointer: str) -> None:
    with pytest.raises(ValueError, match=r"`part`"):
        check_pointer(pointer, OF_TARGET, "part")
