"""Entries that should not have been read."""

from typing import Any

import pytest

from rollbackd.model.pins import Pins
from tests.triggers.detectors.facts import PINS, Watched, read, watched

NAME = "cache_poison_total"
KINDS = ("foreign_pins", "unkeyed", "shadow")
NO_INDEX: Pins = {"PROMPT_VER": "p-1"}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, ()),
        ({"entry_pins": {**PINS, "INDEX_HASH": "b2"}}, ("foreign_pins",)),
        (
            {"entry_pins": {**PINS, "TOK_VER": "t"}, "pins": {**PINS, "TOK_VER": "u"}},
            ("foreign_pins",),
        ),
        ({"entry_pins": {**PINS, "TOK_VER": "t"}}, ()),
        ({"hit": False, "entry_pins": {**PINS, "INDEX_HASH": "b2"}}, ()),
        ({"entry_pins": NO_INDEX}, ("unkeyed",)),
        ({"entry_pins": {"INDEX_HASH": "a1"}}, ("unkeyed",)),
        ({"entry_pins": {}}, ("unkeyed",)),
        ({"entry_pins": {}, "hit": False}, ()),
        ({"entry_pins": NO_INDEX, "hit": False}, ("unkeyed",)),
        ({"shadow": True}, ("shadow",)),
        ({"shadow": True, "hit": False}, ()),
        ({"shadow": True, "arm": "shadow"}, ()),
        ({"shadow": True, "entry_pins": {"PROMPT_VER": "p-2"}}, KINDS),
    ],
)
def test_a_read_is_poisoned_in_these_ways(said: dict[str, Any], found: tuple[str, ...]) -> None:
    seen = watched([read(0), read(1, **said)])
    counted = {kind for kind in KINDS if seen.last(NAME, kind=kind, arm=said.get("arm", "canary"))}
    assert counted == set(found)


def test_reads_are_counted_and_told_once_a_second() -> None:
    seen = watched([read(n / 4) for n in range(9)])
    assert seen.series("cache_reads_total") == [(-0.001, 0), (1, 5), (2, 9)]


def test_every_kind_has_a_value_before_it_was_ever_seen() -> None:
    assert [watched([read()]).series(NAME, kind=kind) for kind in KINDS] == [[(-0.001, 0)]] * 3


@pytest.mark.parametrize(("again", "found", "late"), [(False, 1, 0), (True, 0, 1)])
def test_a_read_that_comes_late_is_poisoned_all_the_same(
    *, again: bool, found: int, late: int
) -> None:
    seen = Watched().take(read(300))
    seen.take(read(0, shadow=True), origin="p-1", again=again)
    assert (seen.last(NAME, kind="shadow"), seen.bank.late) == (found, late)
