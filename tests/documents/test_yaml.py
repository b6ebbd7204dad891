"""YAML that is guarded against hostile documents and YAML 1.1."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rollbackd.documents import yaml as yaml_documents
from rollbackd.documents.diagnostics import DocumentError
from rollbackd.documents.yaml import (
    MAX_BYTES,
    compose,
    compose_all,
    plain_value,
    scalar_value,
    source_line,
)

_BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "id_", "line", "column"),
    [
        pytest.param(_BOMB, "yaml/alias", 2, 8, id="alias bomb"),
        pytest.param("a: &x 1\nb: *x\n", "yaml/alias", 2, 4, id="alias"),
        pytest.param("base: &b {x: 1}\nc:\n  <<: *b\n", "yaml/alias", 3, 7, id="merge"),
        pytest.param("a: 1\nb: 2\na: 3\n", "yaml/duplicate-key", 3, 1, id="duplicate key"),
        pytest.param("a:\n  - {x: 1, x: 2}\n", "yaml/duplicate-key", 2, 12, id="nested duplicate"),
        pytest.param("a: 1\n'a': 2\n", "yaml/duplicate-key", 2, 1, id="quoted duplicate"),
        pytest.param("a: !!python/object:os.system x\n", "yaml/tag", 1, 4, id="python tag"),
        pytest.param("a: !!str 5\n", "yaml/tag", 1, 4, id="core tag"),
        pytest.param("a: !mine {}\n", "yaml/tag", 1, 4, id="own tag"),
        pytest.param("[" * 40 + "]" * 40, "yaml/depth", 1, 33, id="depth"),
        pytest.param("[" * 500_000, "yaml/depth", 1, 33, id="depth bomb"),
        pytest.param("{[a]: 1}\n", "yaml/key", 1, 2, id="key that is a list"),
        pytest.param("a: 1\n---\nb: 2\n", "yaml/documents", 3, 1, id="two documents"),
        pytest.param("a: [1\nb: 2\n", "yaml/syntax", 2, 2, id="unclosed"),
        pytest.param("a:\n\t- c\n", "yaml/syntax", 2, 1, id="tab"),
        pytest.param('a: "\\ud800"\n', "yaml/syntax", 1, 4, id="half a pair"),
        pytest.param("a: \x00\n", "yaml/syntax", 1, 1, id="control character"),
        pytest.param('a: "\\UFFFFFFFF"\n', "yaml/syntax", 1, 1, id="no such character"),
        pytest.param("x" * (MAX_BYTES + 1), "yaml/size", 1, 1, id="size"),
    ],
)
def test_what_is_refused_is_shown_with_its_place(
    text: str, id_: str, line: int, column: int
) -> None:
    """A document that could harm or mislead is never half read."""
    with pytest.raises(DocumentError) as caught:
        compose(text, file="f.yaml")
    (diagnostic,) = caught.value.diagnostics
    where = diagnostic.position
    assert (diagnostic.id, where.line) == (id_, line)
    assert where.column == column or id_ in {"yaml/size", "yaml/syntax"}
    assert str(caught.value).startswith(f"f.yaml:{line}:")


def test_a_document_of_too_many_nodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is composed: small values can add up to much memory."""
    monkeypatch.setattr(yaml_documents, "MAX_NODES", 100)
    with pytest.raises(DocumentError, match="more than 100 nodes"):
        compose("[" + "x," * 100 + "]", file="f")


def test_every_duplicate_is_named() -> None:
    """All of them in one run."""
    with pytest.raises(DocumentError) as caught:
        compose("a: 1\na: 2\nb: {c: 1, c: 2}\na: 3\n", file="f")
    assert [d.position.line for d in caught.value.diagnostics] == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("12:30", "12:30"), ("0o17", "0o17"), ("1_000", "1_000"), ("2026-11-22", "2026-11-22"),
        ("true", True), ("True", True), ("FALSE", False), ("null", None), ("~", None),
        ("010", 10), ("-5", -5), ("+5", 5), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0),
        (".inf", math.inf), ("-.INF", -math.inf), ("'5'", "5"), ('"true"', "true"),
        ("'null'", "null"), ("9" * 500, math.inf), (".", ".")
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    """YAML 1.2: Norway is a country and half past twelve is not 750."""
    root = compose(f"a: {text}\n", file="f")
    assert root is not None
    assert plain_value(root) == {"a": value}


def test_not_a_number_is_one() -> None:
    """NaN cannot be compared in the table above."""
    root = compose(".nan", file="f")
    assert isinstance(root, yaml.ScalarNode)
    value = scalar_value(root)
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\n\n"])
def test_an_empty_document_has_no_root_or_null(text: str) -> None:
    """A file of comments is not a mistake of syntax."""
    root = compose(text, file="f")
    assert root is None or plain_value(root) is None


def test_several_documents_are_read_where_they_are_wanted() -> None:
    """`promtool` test files have one, streams have many."""
    assert [plain_value(n) for n in compose_all("a: 1\n---\n- 2\n", file="f")] == [{"a": 1}, [2]]


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No other exception gets out, whatever the text."""
    try:
        nodes = compose_all(text, file="f")
    except DocumentError as error:
        assert str(error).startswith("f:")  # noqa: PT017  # any text, refused or not
    else:
        for node in nodes:
            plain_value(node)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("url: redis://:hunter2@db/0", "url: redis://********@db/0"),
        ("url: redis://eve:hunter2@db/0", "url: redis://***********@db/0"),
        ("url: redis://db/0?password=hunter2", "url: redis://db/0?password=*******"),
        ("password: hunter2", "password:********"),
        ("{token: hunter2, x: 1}", "{token:********, x: 1}"),
        ("password_file: /run/secret", "password_file: /run/secret"),
        ("tokens:", "tokens:"),
        ("expr: a@b", "expr: a@b"),
    ],
)
def test_a_line_that_is_shown_hides_secrets(line: str, shown: str) -> None:
    """As wide as before, so that carets stay under what they point at."""
    assert source_line(f"# one\n{line}\n", 2) == shown
    assert len(shown) == len(line)


def test_a_line_that_is_not_there_is_empty() -> None:
    """Line numbers may come from elsewhere."""
    assert (source_line("a", 0), source_line("a", 2)) == ("", "")
    assert source_line("a\x0bb\nc", 2) == "c"


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("a: {path: $.a[0].b, unit: ms -> s}\n", "bracket or brace in quotes"),
        ("a: [x[0], b]\n", "bracket or brace in quotes"),
        ("a: {path: @.name}\n", "begins with it in quotes"),
        ("a: [1\nb: 2\n", ""),
        ("a: \t\tb: c\n", ""),
    ],
)
def test_a_text_that_needs_quotes_is_told_so(text: str, fix: str) -> None:
    with pytest.raises(DocumentError) as caught:
        compose(text, file="f.yaml")
    said = caught.value.diagnostics[0].fix
    assert fix in said
    assert bool(said) == bool(fix)
