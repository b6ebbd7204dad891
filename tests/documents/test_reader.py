"""Typed reading: every problem is noted with its place, and none stops the reading."""

from collections.abc import Callable
from typing import Any

import pytest

from rollbackd.documents.diagnostics import (
    Diagnostic,
    DocumentError,
    Position,
    Severity,
    errors_in,
)
from rollbackd.documents.reader import Document, Reader
from rollbackd.documents.yaml import compose


def reader_of(text: str) -> Reader:
    """A reader on the root."""
    root = compose(text, file="f")
    assert root is not None
    return Reader(Document("f", text), root)


def value_of(text: str, accessor: Callable[[Reader], Any]) -> tuple[Any, list[str]]:
    """What an accessor makes of `a`, and the ids of what it reported."""
    root = reader_of(f"a: {text}\n")
    field = root.fields(("a",)).get("a")
    assert field is not None
    return accessor(field), [d.id for d in root.document.diagnostics]


TYPE, RANGE = ["value/type"], ["value/range"]


@pytest.mark.parametrize(
    ("text", "accessor", "value", "problems"),
    [
        ("x", Reader.string, "x", []),
        ("'5'", Reader.string, "5", []),
        ("5", Reader.string, "", TYPE),
        ("", Reader.string, "", TYPE),
        ("[x]", Reader.string, "", TYPE),
        ("5", Reader.text_of_scalar, "5", []),
        ("{}", Reader.text_of_scalar, "", TYPE),
        ("5", Reader.number, 5.0, []),
        ("-1.5", Reader.number, -1.5, []),
        ("true", Reader.number, 0.0, TYPE),
        ("x", Reader.number, 0.0, TYPE),
        (".nan", Reader.number, 0.0, RANGE),
        (".inf", Reader.number, 0.0, RANGE),
        ("1e999", Reader.number, 0.0, RANGE),
        ("9" * 390, Reader.number, 0.0, RANGE),
        ("5", Reader.integer, 5, []),
        ("5.0", Reader.integer, 0, TYPE),
        ("false", Reader.integer, 0, TYPE),
        ("9" * 390, Reader.integer, 0, RANGE),
        ("3", lambda r: r.integer(7, minimum=4), 7, RANGE),
        ("4", lambda r: r.integer(7, minimum=4), 4, []),
        ("65536", lambda r: r.integer(7, maximum=65_535), 7, RANGE),
        ("true", Reader.boolean, True, []),
        ("yes", Reader.boolean, False, TYPE),
        ("on", Reader.boolean, False, TYPE),
        ("1", Reader.boolean, False, TYPE),
        ("5m", Reader.duration_ms, 300_000, []),
        ("5", Reader.duration_ms, 0, ["value/duration"]),
        ("[5m]", Reader.duration_ms, 0, TYPE),
        ("b", lambda r: r.choice(("a", "b")), "b", []),
        ("c", lambda r: r.choice(("a", "b"), "a"), "a", ["value/choice"]),
        ("{x: 1, y: z}", Reader.string_map, {"x": "1", "y": "z"}, []),
        ("[x, y]", Reader.string_list, ["x", "y"], []),
        ("[x, 1]", Reader.string_list, ["x", ""], TYPE),
        ("x", Reader.string_list, [], TYPE),
        ("x", Reader.string_map, {}, TYPE),
        ("{x: [1, null]}", Reader.plain, {"x": [1, None]}, []),
    ],
)
def test_accessors(
    text: str, accessor: Callable[[Reader], Any], value: object, problems: list[str]
) -> None:
    """The value, or the default and one problem."""
    assert value_of(text, accessor) == (value, problems)


@pytest.mark.parametrize(
    ("text", "accessor", "fix"),
    [
        ('"9797"', Reader.integer, "remove the quotes"),
        ("'0.5'", Reader.number, "remove the quotes"),
        ('"0.5%"', Reader.number, ""),
        ('"true"', Reader.integer, ""),
        ("nine", Reader.integer, ""),
        (
            "broker-1:9092,broker-2:9092",
            Reader.string_list,
            "write `[broker-1:9092,broker-2:9092]`",
        ),
        ("", Reader.string_list, ""),
        ("{b: c}", Reader.string_list, ""),
    ],
)
def test_a_slip_of_yaml_is_told_with_the_way_out(
    text: str, accessor: Callable[[Reader], Any], fix: str
) -> None:
    """`expected a whole number, got 9797` alone would puzzle."""
    root = reader_of(f"a: {text}\n")
    root.fields(("a",)).read("a", accessor, None)
    (problem,) = root.document.diagnostics
    assert (problem.id, problem.fix) == ("value/type", fix)


def test_known_keys_are_read_and_others_reported() -> None:
    """Strict both ways: unknown keys at the key, missing ones at the mapping."""
    root = reader_of("name: x\nlabls: {}\n")
    fields = root.fields(("name", "labels", "expr"), required=("name", "expr"))
    assert "name" in fields
    assert "labels" not in fields
    assert fields.read("name", Reader.string, "") == "x"
    assert fields.read("labels", Reader.plain, "default") == "default"
    unknown, missing = root.document.diagnostics
    assert (unknown.id, unknown.position.line, unknown.position.column) == ("key/unknown", 2, 1)
    assert unknown.fix == "did you mean `labels`?"
    assert (missing.id, missing.message) == ("key/missing", "`expr` is missing")


def test_a_key_that_resembles_none_is_to_be_removed() -> None:
    """The way out is always named."""
    root = reader_of("zzz: 1\n")
    root.fields(("name",))
    assert root.document.diagnostics[0].fix == "remove `zzz`"


def test_every_problem_is_raised_at_once() -> None:
    """One run shows all of them."""
    root = reader_of("a: x\nb: y\n")
    fields = root.fields(("a", "b"))
    fields.read("a", Reader.number, 0)
    fields.read("b", Reader.boolean, default=False)
    with pytest.raises(DocumentError) as caught:
        root.document.raise_errors()
    assert [d.position.line for d in caught.value.diagnostics] == [1, 2]


def test_a_warning_refuses_nothing() -> None:
    """It is for somebody to look at."""
    document = Document("f", "a: 1\n")
    document.report(Position("f", 1, 1), "x/y", "look", severity=Severity.WARNING)
    document.raise_errors()
    assert errors_in(document.diagnostics) == []


def test_a_problem_is_rendered_for_a_person() -> None:
    """Place, source line, caret, fix."""
    diagnostic = Diagnostic(
        "value/choice",
        Severity.ERROR,
        "`ac` is not allowed here; it must be one of `act`, `observe`",
        Position("tree.yaml", 12, 9, 2),
        "  mode: ac",
        "did you mean `act`?",
    )
    assert diagnostic.render() == (
        "tree.yaml:12:9: error: `ac` is not allowed here; it must be one of `act`, `observe`"
        " (value/choice)\n"
        "   12 |   mode: ac\n"
        "      |         ^^\n"
        "      = fix: did you mean `act`?"
    )
    assert str(DocumentError([diagnostic, diagnostic])).count("tree.yaml:12:9") == 2


def test_a_problem_without_a_line_or_a_fix_is_one_line() -> None:
    """E.g. of a file that cannot be read."""
    diagnostic = Diagnostic("config/read", Severity.WARNING, "no", Position("f", 1, 1))
    assert diagnostic.render() == "f:1:1: warning: no (config/read)"
    assert Position("f", 1, 4).shifted(3, 2) == Position("f", 1, 7, 2)
