"""A mapping becomes a Struct field by field, with every problem at its place."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from rollbackd.documents.reader import Document, Reader
from rollbackd.documents.yaml import compose
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.structs import Duration, File, SecretFile, Url, read_struct, schema_of


class Colour(StrEnum):
    """A choice."""

    BLUE = "blue"
    GREEN = "green"


class Inner(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping in a mapping."""

    count: Annotated[int, Meta(ge=1)] = 1


class Everything(msgspec.Struct, frozen=True, kw_only=True):
    """One field a type."""

    url: Url
    text: str = ""
    wait: Duration = 1_000
    ratio: Annotated[float, Meta(ge=0, le=1)] = 0.5
    whole: int = 3
    flag: bool = False
    colour: Colour = Colour.BLUE
    word: Literal["on", "off"] = "on"
    words: list[str] = []
    labels: dict[str, str] = {}
    anything: dict[str, Any] = {}
    inner: Inner = Inner()
    several: list[Inner] = []
    file: File | None = None
    secret: SecretFile | None = None


def read(text: str, folder: Path = Path()) -> tuple[Everything | None, list[str]]:
    """What it becomes, and what is wrong with it."""
    document = Document("f.yaml", text)
    root = compose(text, file="f.yaml")
    assert root is not None
    found = read_struct(Reader(document, root), Everything, folder)
    return found, [d.headline() for d in document.diagnostics]


def test_every_type_is_read(tmp_path: Path) -> None:
    """Files are relative to the folder; durations are milliseconds."""
    (tmp_path / "token").write_text("t")
    found, problems = read(
        "url: https://host:1/path/\ntext: t\nwait: 5s\nratio: 1\nwhole: 4\nflag: true\n"
        "colour: green\nword: 'off'\nwords: [a]\nlabels: {a: 1}\nanything: {a: [1]}\n"
        "inner: {count: 2}\nseveral: [{count: 3}]\nfile: token\nsecret: token\n",
        tmp_path,
    )
    assert problems == []
    assert found == Everything(
        url="https://host:1/path",
        text="t",
        wait=5_000,
        ratio=1.0,
        whole=4,
        flag=True,
        colour=Colour.GREEN,
        word="off",
        words=["a"],
        labels={"a": "1"},
        anything={"a": [1]},
        inner=Inner(count=2),
        several=[Inner(count=3)],
        file=tmp_path / "token",
        secret=tmp_path / "token",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "1:1: error: `url` is missing (key/missing)"),
        ("url: http://h\nurls: x", "2:1: error: key `urls` is not known here"),
        ("url: http://u:p@h", "1:6: error: the URL carries credentials"),
        ("url: ftp://h", "1:6: error: `ftp://h` is not a URL"),
        ("url: 'http://h:x'", "1:6: error: `http://h:x` is not a URL"),
        ("url: http://h\nratio: 1.5", "2:8: error: `1.5` is above the maximum `1`"),
        ("url: http://h\nwhole: x", "2:8: error: expected a whole number"),
        ("url: http://h\nwait: 0s", "2:7: error: the duration `0s` is not above `0`"),
        ("url: http://h\ncolour: red", "2:9: error: `red` is not allowed here"),
        ("url: http://h\nword: maybe", "2:7: error: `maybe` is not allowed here"),
        ("url: http://h\ninner: {count: 0}", "2:16: error: `0` is below the minimum `1`"),
        ("url: http://h\nseveral: [{}, {count: 0}]", "2:23: error: `0` is below the minimum `1`"),
        ("url: http://h\nanything: 1", "2:11: error: expected a mapping"),
        ("url: http://h\nfile: gone", "2:7: error: there is no file"),
    ],
)
def test_a_problem_stands_at_its_place(text: str, problem: str) -> None:
    """And nothing is made of the mapping."""
    found, problems = read(text)
    assert found is None
    assert any(problem in each for each in problems), problems


class Bounded(msgspec.Struct, frozen=True, kw_only=True):
    """One field a kind of bound."""

    share: Annotated[float, Meta(gt=0.5, le=1)] = 1.0
    level: Annotated[int, Meta(ge=0, le=4)] = 0
    rate: Annotated[float, Meta(ge=0)] | None = None
    name: Annotated[str, Meta(min_length=1, max_length=3)] = "a"
    word: Annotated[str, Meta(pattern="^[a-z]+$", examples=["canary"])] = "a"
    address: Annotated[str, Meta(pattern="^redis://[^@]+$")] = "redis://h"
    items: Annotated[list[str], Meta(min_length=1, max_length=2)] | None = None
    codes: list[Annotated[int, Meta(ge=400, le=499)]] = []


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        ("share: 0.5", "`0.5` is not above `0.5`", "use a number above `0.5` and at most `1`"),
        ("share: 2", "`2` is above the maximum `1`", "use a number above `0.5` and at most `1`"),
        ("level: 5", "`5` is above the maximum `4`", "use a number from `0` to `4`"),
        ("rate: -0.1", "`-0.1` is below the minimum `0`", "use `0` or more"),
        ("name: ''", "the text is empty", "write 1 character or more"),
        ("name: abcd", "`abcd...` has 4 characters", "shorten it to 3 characters"),
        ("word: a1", "`a1` is not allowed here: it does not match `^[a-z]+$`", "like `canary`"),
        ("address: a", "`a` is not allowed here: it does not match", ""),
        ("items: []", "the list is empty", "write 1 item or more"),
        ("items: [a, b, c]", "the list has 3 items", "shorten it to 2 items"),
        ("codes: [404, 500]", "`500` is above the maximum `499`", "from `400` to `499`"),
        ("address: redis://:hunter2@h", "the URL carries credentials", "`password_file`"),
    ],
)
def test_a_value_out_of_bounds_is_told_with_what_is_allowed(
    text: str, message: str, fix: str
) -> None:
    """In the words of the other errors, and a password is not repeated."""
    document = Document("f.yaml", text)
    root = compose(text, file="f.yaml")
    assert root is not None
    assert read_struct(Reader(document, root), Bounded, Path()) is None
    (found,) = document.diagnostics
    assert found.message.startswith(message)
    assert fix in found.fix
    assert "Expected" not in found.message
    assert "hunter2" not in found.message + found.fix


def test_all_problems_are_told_at_once() -> None:
    """One run, one list."""
    _, problems = read("whole: x\nflag: maybe\ncolour: red\n")
    assert len(problems) == 4


def test_the_schema_says_the_same() -> None:
    """Types, bounds and what is required."""
    schema = schema_of(Everything)
    assert schema["required"] == ["url"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert properties["url"]["format"] == "uri"
    assert properties["wait"]["type"] == "string"
    assert properties["ratio"]["maximum"] == 1
    assert properties["colour"]["enum"] == ["blue", "green"]
    assert properties["inner"]["properties"]["count"]["minimum"] == 1


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"timeout": 6_000}, "above `5s`"),
        ({"cert_file": Path("c")}, "belong together"),
        ({"token_file": Path("t")}, "sent in the clear"),
    ],
)
def test_an_endpoint_that_is_not_sound_is_refused(settings: dict[str, Any], problem: str) -> None:
    """Before anything is sent to it."""
    with pytest.raises(ValueError, match=problem):
        HttpEndpoint(url="http://api.example", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "https://api.example", "token_file": Path("t")},
        {"url": "http://127.0.0.1:1/x", "token_file": Path("t")},
        {"url": "http://[::1]:1", "token_file": Path("t")},
        {"url": "http://api", "token_file": Path("t"), "insecure": True},
        {"url": "http://api"},
    ],
)
def test_a_sound_endpoint_is_taken(settings: dict[str, Any]) -> None:
    """TLS, this host, or somebody who said so."""
    assert HttpEndpoint(**settings).sends_secret == ("token_file" in settings)
