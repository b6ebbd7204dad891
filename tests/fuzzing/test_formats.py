"""A few thousand random bodies; `make fuzz` gives a million."""

from tests.fuzzing.formats import Formats, body

_SEED = 1
_CASES = 6_000


def test_nothing_but_a_rejection_is_raised() -> None:
    """Whatever the bytes are: samples, or a reason."""
    formats = Formats()
    for number in range(_CASES):
        case = body(_SEED, number)
        try:
            formats.refused[formats.take(case)] += 1
        except Exception as error:
            error.add_note(f"python -m tests.fuzzing.formats --seed {_SEED} --only {number}")
            raise
    # cases that are all refused, or all taken, would show nothing
    assert 0.1 < formats.refused[""] / _CASES < 0.9
