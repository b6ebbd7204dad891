"""Retrievers against the index that they should read."""

import pytest

from rollbackd.settings.detectors import DetectorSettings, IndexMismatchBounds
from rollbackd.triggers.detectors import IndexExpected
from tests.triggers.detectors.facts import PINS, Known, Watched, answer, at, heartbeat

NAME = "index_mismatch"
OTHER = {**PINS, "INDEX_HASH": "b2"}


def against(
    *indexes: IndexExpected, settings: DetectorSettings | None = None
) -> tuple[Watched, Known]:
    known = Known()
    known.indexes = indexes
    return Watched(settings, known), known


GOOD = IndexExpected(PINS, None)


def test_every_reader_that_differs_counts() -> None:
    seen, _ = against(GOOD)
    seen.take(heartbeat("a"), heartbeat("b", 1, pins=OTHER), heartbeat("c", 2, pins=OTHER))
    assert seen.series(NAME) == [(0, 0), (1, 1), (2, 2)]
    assert seen.last("retriever_readers") == 3
    assert seen.take(heartbeat("b", 3), heartbeat("c", 4)).last(NAME) == 0


@pytest.mark.parametrize(
    "pin", ["INDEX_HASH", "EMBED_DIM", "metric", "NORM", "TOK_VER", "ANALYZER_CONF"]
)
def test_all_pins_of_an_index_are_compared_where_both_are_known(pin: str) -> None:
    seen, _ = against(IndexExpected({**PINS, pin: "wanted"}, None))
    assert seen.take(heartbeat("a", pins={pin: "wanted"})).last(NAME) == 0
    assert seen.take(heartbeat("a", 1, pins={pin: "other"})).last(NAME) == 1
    assert seen.take(heartbeat("a", 2, pins={"PROMPT_VER": "p-9"})).last(NAME) == 0


def test_a_reader_may_read_any_of_the_indexes_that_are_expected() -> None:
    seen, _ = against(GOOD, IndexExpected(OTHER, None))
    seen.take(heartbeat("a"), heartbeat("b", pins=OTHER), heartbeat("c", pins={"INDEX_HASH": "c3"}))
    assert seen.last(NAME) == 1


def test_where_nothing_is_expected_nothing_differs() -> None:
    seen, _ = against()
    assert seen.take(heartbeat("a", pins=OTHER)).last(NAME) == 0


def test_a_canary_is_held_against_what_its_answers_say() -> None:
    seen, _ = against()
    seen.take(answer(0, pins=OTHER), heartbeat("a", 1, arm="canary", pins=OTHER))
    assert seen.last(NAME, arm="canary") == 0
    assert seen.take(heartbeat("b", 2, arm="canary")).last(NAME, arm="canary") == 1


def test_an_announcement_binds_a_canary_once_one_of_its_readers_has_that_index() -> None:
    """It may name the index by its alias, which no reader reports."""
    seen, known = against(IndexExpected({**PINS, "INDEX_HASH": "docs_vB"}, None))
    seen.take(heartbeat("a", arm="canary", pins=OTHER), heartbeat("b", 1, arm="canary"))
    assert seen.last(NAME, arm="canary") == 0
    known.indexes = [IndexExpected(OTHER, None)]
    assert seen.take(heartbeat("a", 2, arm="canary", pins=OTHER)).last(NAME, arm="canary") == 1


def test_answers_of_an_earlier_rollout_bind_no_reader() -> None:
    seen, _ = against()
    seen.take(answer(0, pins=OTHER), heartbeat("a", 120, arm="canary"))
    assert seen.last(NAME) == 1
    seen.take(heartbeat("a", 120.001, arm="canary"))
    assert seen.last(NAME) == 0


def test_a_canary_may_read_what_is_announced_before_it_answers_from_it() -> None:
    seen, known = against()
    known.indexes = [IndexExpected({**PINS, "INDEX_HASH": "c3"}, None)]
    seen.take(answer(0, pins=OTHER), heartbeat("a", 1, arm="canary", pins={"INDEX_HASH": "c3"}))
    assert seen.last(NAME) == 0
    assert seen.take(heartbeat("b", 2, arm="canary")).last(NAME) == 1


def test_of_an_index_that_is_announced_the_answers_of_the_canary_know_more() -> None:
    seen, known = against()
    known.indexes = [IndexExpected({**OTHER, "ANALYZER_CONF": "old"}, None)]
    new, old = {**OTHER, "ANALYZER_CONF": "new"}, {**OTHER, "ANALYZER_CONF": "old"}
    seen.take(answer(0, pins=new), heartbeat("a", 1, arm="canary", pins=old))
    assert seen.last(NAME) == 1


def test_answers_that_name_no_index_leave_the_announcement_in_force() -> None:
    seen, known = against()
    known.indexes = [IndexExpected(OTHER, None)]
    seen.take(answer(0, pins={"PROMPT_VER": "p-2"}), heartbeat("a", 1, arm="canary", pins=OTHER))
    assert seen.last(NAME) == 0
    assert seen.take(heartbeat("b", 2, arm="canary")).last(NAME) == 1


def test_readers_that_are_gone_do_not_count() -> None:
    seen, _ = against(GOOD)
    seen.take(heartbeat("a", pins=OTHER), heartbeat("b", 120))
    assert seen.last(NAME) == 1
    assert seen.take(heartbeat("b", 120.001)).last(NAME) == 0
    assert seen.last("retriever_readers") == 1


@pytest.mark.parametrize(("documents", "wrong"), [(990, 0), (989, 1), (2_000, 0), (None, 0)])
def test_an_index_that_lacks_documents_is_another_one(documents: int | None, wrong: int) -> None:
    seen, _ = against(IndexExpected(PINS, 1_000))
    assert seen.take(heartbeat("a", documents=documents)).last(NAME) == wrong


def test_while_a_flip_of_our_own_spreads_nothing_is_said() -> None:
    seen, known = against(GOOD)
    known.flip_until_ms = at(10)
    seen.take(heartbeat("a", 9.999, pins=OTHER))
    assert seen.last(NAME) == 0
    assert seen.take(heartbeat("a", 10, pins=OTHER)).last(NAME) == 1


def test_readers_are_bounded_and_those_heard_of_last_stay() -> None:
    settings = DetectorSettings(index_mismatch=IndexMismatchBounds(readers=3))
    seen, _ = against(GOOD, settings=settings)
    seen.take(*[heartbeat(f"r-{n}", n) for n in range(5)])
    assert seen.last("retriever_readers") == 3
    assert seen.bank.evicted()["index_mismatch"] == 2


def test_an_older_heartbeat_does_not_replace_a_newer_one() -> None:
    seen, _ = against(GOOD)
    assert seen.take(heartbeat("a", 5), heartbeat("a", 4, pins=OTHER)).last(NAME) == 0
