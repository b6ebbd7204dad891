"""The table of fingerprints keeps its promises: no false alarm, few losses, fixed memory."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackd.triggers.detectors.fingerprints import Fingerprints, digest, fingerprint


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.binary(min_size=2, max_size=2)), max_size=120))
def test_it_is_a_dictionary_while_there_is_room(said: list[tuple[int, bytes]]) -> None:
    table, known = Fingerprints(10_000, value_bytes=2), dict[int, bytes]()
    for key, value in said:
        told = digest(b"", str(key))
        place = table.find(told)
        assert (place is None) == (key not in known)
        if place is None:
            table.insert(told, value)
        else:
            assert table.read(place) == known[key]
            table.write(place, value)
        known[key] = value
    assert table.evicted == 0


def test_the_oldest_of_a_bucket_goes_for_a_new_one() -> None:
    table = Fingerprints(96, value_bytes=1)
    told = [digest(b"", str(n)) for n in range(1_000)]
    for each in told:
        table.insert(each, b"x")
    assert [n for n, each in enumerate(told) if table.find(each) is not None] == [
        *range(872, 1_000)
    ]
    assert table.evicted == 872


def test_the_loss_among_the_newest_keys_is_as_stated() -> None:
    """2.8e-5 of them by the formula; a tenth of a percent would be forty times that."""
    keys = 60_000
    table = Fingerprints(keys, value_bytes=2)
    told = [digest(b"scope/", str(n)) for n in range(3 * keys)]
    for each in told:
        assert table.find(each) is None
        table.insert(each, b"ab")
    lost = sum(table.find(each) is None for each in told[-keys:])
    assert lost <= _most(keys * 2.8e-5)


def test_a_tag_that_begins_inside_another_entry_is_not_found() -> None:
    """The bytes of a tag, shifted by one, are those of another key in the same bucket."""
    table = Fingerprints(96, value_bytes=2)
    table.insert(bytes(8) + b"\0ABCDEF", b"GH")
    table.insert(bytes(8) + b"abcdefg", b"hi")
    assert table.find(bytes(8) + b"ABCDEFG") is None
    assert table.find(bytes(8) + b"cdefghi") is None
    place = table.find(bytes(8) + b"abcdefg")
    assert place is not None
    assert table.read(place) == b"hi"


@pytest.mark.parametrize(("keys", "value", "each"), [(50_000_000, 2, 12), (1_000_000, 4, 14.7)])
def test_the_memory_is_as_stated(keys: int, value: int, each: float) -> None:
    assert Fingerprints(keys, value_bytes=value).size_bytes / keys == pytest.approx(each, abs=0.1)


def test_nothing_is_taken_before_the_first_key() -> None:
    table = Fingerprints(1 << 40, value_bytes=2)
    assert table.find(digest(b"", "a")) is None


def test_prefixes_keep_keys_apart_and_any_text_has_a_fingerprint() -> None:
    assert digest(b"rag/eu/", "k") != digest(b"rag/us/", "k")
    assert len(fingerprint("\ud800", 3)) == 3
    assert len(digest(b"", "\ud800")) == 15


def _most(expected: float) -> float:
    """What a Poisson count exceeds less than once in a million runs, roughly."""
    return expected + 6 * math.sqrt(expected) + 6
