import pytest

from rollbackd.cli.demo.plot import plot


def drawn(values: list[float | None], *, width: int = 27, height: int = 4) -> list[str]:
    return [line.plain for line in plot(values, width=width, height=height, threshold=0.2, top=0.4)]


def test_an_empty_plot_is_a_frame_with_its_threshold() -> None:
    """There is something to look at before there is data."""
    assert drawn([]) == [
        " 0.40 ┤                    ",
        " 0.20 ┤╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌",
        "      │                    ",
        " 0.00 ┤                    ",
    ]


def test_a_series_rises_from_the_bottom_to_the_top() -> None:
    """Zero is the lowest dot, the top value the highest, and jumps are connected."""
    assert drawn([0.0, 0.1, 0.2, 0.3, 0.399], width=12) == [
        " 0.40 ┤  ⡇  ",
        " 0.20 ┤╌⣸⠁╌╌",
        "      │⢀⡇   ",
        " 0.00 ┤⣸    ",
    ]


def test_what_is_over_the_threshold_is_red() -> None:
    """Strictly over, as the rule has it."""
    lines = plot([0.2, 0.2, 0.3, 0.3], width=9, height=4, threshold=0.2, top=0.4)
    styles = {str(span.style) for line in lines for span in line.spans if span.start >= 7}
    assert {"green", "bold red"} <= styles


def test_a_gap_stays_a_gap() -> None:
    """No data is not zero."""
    assert "".join(drawn([None] * 10)) == "".join(drawn([]))
    with_gap = drawn([0.1, 0.1, None, None, None, None, 0.1, 0.1], width=12)
    assert with_gap[2] == "      │⣀  ⣀ "


@pytest.mark.parametrize("count", [1, 3, 40, 41, 1_000])
def test_any_number_of_values_fits_the_width(count: int) -> None:
    """More values than dots are squeezed, never cut off."""
    lines = drawn([0.01] * count)
    assert {len(line) for line in lines} == {27}
    assert set(lines[-1][7:].rstrip()) <= {"⣀", "⡀"}
    assert lines[-1][7] in "⣀⡀"


def test_values_out_of_range_stay_inside_the_frame() -> None:
    """A drift can be negative, or enormous."""
    assert {len(line) for line in drawn([-1.0, 5.0])} == {27}
