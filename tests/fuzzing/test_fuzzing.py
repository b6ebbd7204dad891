"""A few thousand random expressions and files; `make fuzz` runs a million."""

import pytest

from tests.fuzzing.targets import Targets, case

_SEED = 1
_CASES = 4_000
_SLICES = 8


@pytest.mark.parametrize("part", range(_SLICES))
def test_nothing_but_the_diagnostic_error_is_raised(part: int) -> None:
    """Whatever the text is: loaded and evaluated, or refused with a place and a reason."""
    targets = Targets()
    for number in range(part, _CASES, _SLICES):
        try:
            targets.run(_SEED, number)
        except Exception as error:
            kind, text = case(_SEED, number)
            error.add_note(
                f"python -m tests.fuzzing --seed {_SEED} --only {number}\n{kind}: {text!r}"
            )
            raise
    expressions = targets.counts["expression"]
    # cases that are all refused, or all taken, would show nothing
    assert 0.1 < expressions.loaded / expressions.cases < 0.9
    assert targets.counts["rule_file"].loaded
    assert targets.counts["mapping"].loaded
    events = targets.counts["event"]
    assert 0.1 < events.loaded / events.cases < 0.9


def test_a_case_is_the_same_every_time() -> None:
    """So that the command that is printed finds it again."""
    assert case(7, 123_456) == case(7, 123_456)
    assert len({case(7, number) for number in range(100)}) > 90
