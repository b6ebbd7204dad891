"""What waits to be scored: when it is due, and what is dropped."""

import pytest

from rollbackd.scorers.waiting import ScoringQueue, Waiting
from tests.scorers.answers import NOW, asked, embedded


def queue(*, most: int = 10, most_bytes: int = 1 << 20, batch: int = 3) -> ScoringQueue:
    return ScoringQueue(most=most, most_bytes=most_bytes, batch=batch, wait_ms=200)


def waiting(question: str, *, origin: str = "t-0", since_ms: int = NOW) -> Waiting:
    return Waiting(asked(question), origin, since_ms)


def questions(of: ScoringQueue) -> list[str]:
    return [taken.fact.question for taken in of.take()]


@pytest.mark.parametrize(
    ("count", "now_ms", "due_in_ms"),
    [
        (0, NOW, 0),
        (1, NOW, 200),
        (2, NOW + 50, 150),
        (2, NOW + 200, 0),
        (2, NOW + 900, 0),
        (3, NOW, 0),
        (4, NOW, 0),
        (1, NOW - 60_000, 200),
    ],
    ids=["empty", "one", "two", "waited", "waited long", "full", "overfull", "clock set back"],
)
def test_a_batch_is_due_when_it_is_full_or_its_oldest_has_waited(
    count: int, now_ms: int, due_in_ms: int
) -> None:
    q = queue()
    for each in range(count):
        q.put(waiting(str(each)))
    assert q.due_in_ms(now_ms) == due_in_ms


def test_the_oldest_are_taken_first_and_no_more_than_a_batch() -> None:
    q = queue()
    for each in "abcde":
        assert q.put(waiting(each)) == 0
    assert (questions(q), questions(q), questions(q)) == (["a", "b", "c"], ["d", "e"], [])


def test_beyond_the_number_the_oldest_go() -> None:
    q = queue(most=2)
    assert [q.put(waiting(each)) for each in "abcd"] == [0, 0, 1, 1]
    assert questions(q) == ["c", "d"]


def test_beyond_the_bytes_as_many_go_as_have_to() -> None:
    small = waiting("a").fact.size
    q = queue(most_bytes=4 * small)
    assert [q.put(waiting(each)) for each in "abcd"] == [0, 0, 0, 0]
    assert q.put(waiting("e" * (2 * small))) == 3
    assert questions(q) == ["d", "e" * (2 * small)]


def test_what_was_taken_takes_no_room() -> None:
    size = waiting("a").fact.size
    q = queue(most_bytes=size, batch=1)
    for each in "abc":
        assert q.put(waiting(each)) == 0
        assert questions(q) == [each]


def test_one_that_is_over_the_bytes_by_itself_is_dropped() -> None:
    q = queue(most_bytes=100)
    assert q.put(waiting("a" * 200)) == 1
    assert len(q) == 0


def test_what_a_lost_partition_brought_is_dropped() -> None:
    size = waiting("a").fact.size
    q = queue(most_bytes=2 * size)
    q.put(waiting("a", origin="t-0"))
    q.put(waiting("b", origin="t-1"))
    q.forget("t-0")
    assert q.put(waiting("c")) == 0
    assert questions(q) == ["b", "c"]


def test_vectors_count_with_four_bytes_a_dimension() -> None:
    one, other = embedded([1.0], [1.0]), embedded([1.0] * 101, [1.0] * 101)
    assert other.size - one.size == 800


@pytest.mark.parametrize("fact", [asked("a secret"), embedded([0.125], [0.25])])
def test_what_is_shown_of_it_has_no_text_and_no_number_of_it(fact: object) -> None:
    for shown in (repr(fact), str(fact), f"{fact!r}"):
        assert "secret" not in shown
        assert "0.125" not in shown
