"""The levers file: names, types, settings, and stand-ins."""

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.levers.dry_run import DryRunSettings
from rollbackd.levers.redis_key import RedisKeySettings
from rollbackd.rulefmt.lever_file import Defined, read_lever_file

TYPES = {"redis_key": RedisKeySettings, "dry_run": DryRunSettings}
POINTER = "levers:\n  ptr: {type: redis_key, url: 'redis://h:6379/0', prefix: 'rag:'}\n"


def read(text: str) -> dict[str, Defined]:
    """The levers of a file beside two built-in ones."""
    return read_lever_file(text, file="levers.yaml", types=TYPES, built_in=("flag_off", "repin"))


def test_a_lever_has_a_type_and_settings() -> None:
    """By the name that the tree uses."""
    assert read(POINTER) == {
        "ptr": ("redis_key", RedisKeySettings(url="redis://h:6379/0", prefix="rag:"))
    }


@pytest.mark.parametrize("of", ["ptr", "flag_off"])
def test_a_dry_run_stands_in_for_one_that_is_there(of: str) -> None:
    """Of the file, or built in."""
    found = read(f"{POINTER}  rehearsal: {{type: dry_run, of: {of}}}\n")
    assert found["rehearsal"] == ("dry_run", DryRunSettings(of=of))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("levers:\n  Ptr: {type: redis_key, url: 'redis://h/0'}", "2:8: error: `Ptr` is no name"),
        ("levers:\n  repin: {type: redis_key, url: 'redis://h/0'}", "is a built-in lever"),
        ("levers:\n  ptr: {url: 'redis://h/0'}", "`type` is missing"),
        ("levers:\n  ptr: {type: redis_keys, url: 'redis://h/0'}", "`redis_keys` is not allowed"),
        ("levers:\n  ptr: {type: redis_key}", "`url` is missing"),
        ("levers:\n  ptr: {type: redis_key, url: 'http://h'}", "2:31: error: `http://h`"),
        ("levers:\n  ptr: {type: redis_key, url: 'redis://h/0', to: x}", "key `to` is not known"),
        (POINTER + "  x: {type: dry_run, of: pt}", "`pt` is not allowed here"),
        (POINTER + "  x: {type: dry_run, of: y}\n  y: {type: dry_run, of: ptr}", "`y` is not"),
        ("leverz: {}", "key `leverz` is not known"),
        ("levers: []", "expected a mapping"),
    ],
)
def test_what_cannot_be_used_is_named_at_its_place(text: str, problem: str) -> None:
    """Every problem at once, none of them later."""
    with pytest.raises(DocumentError) as raised:
        read(text)
    assert any(problem in d.headline() for d in raised.value.diagnostics), [
        d.headline() for d in raised.value.diagnostics
    ]


def test_an_empty_file_has_no_levers() -> None:
    """Nothing said, nothing there."""
    assert read("") == {}
