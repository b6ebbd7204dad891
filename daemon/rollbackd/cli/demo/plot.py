"""A line plot in braille: eight dots a cell, with a threshold across it."""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

_BLANK: Final = 0x2800
#: Bit of the dot at (row, column) of a cell, Unicode chapter 2800.
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_GUTTER: Final = 7


def plot(
    values: Sequence[float | None],
    *,
    width: int,
    height: int,
    threshold: float,
    top: float,
) -> list[Text]:
    """The values from left to right, 0 at the bottom, red where they are above the threshold.

    A None is a gap. Values that do not fit are squeezed into the width.
    """
    columns = max(1, width - _GUTTER)
    fitted = _fitted(values, columns * 2)
    cells, hot = _dots(fitted, columns=columns, height=height, top=top, threshold=threshold)
    bar = height - 1 - min(height - 1, int(threshold / top * height))
    lines = []
    for row in range(height):
        label = f"{threshold:.2f} ┤" if row == bar else _label(row, height, top)
        line = Text()
        line.append(label.rjust(_GUTTER), style="yellow" if row == bar else "dim")
        for column in range(columns):
            bits = cells[row][column]
            if bits:
                style = "bold red" if hot[column] else "green"
                line.append(chr(_BLANK + bits), style=style)
            else:
                line.append("╌" if row == bar else " ", style="yellow")
        lines.append(line)
    return lines


def _label(row: int, height: int, top: float) -> str:
    if row == 0:
        return f"{top:.2f} ┤"
    return "0.00 ┤" if row == height - 1 else "│"


def _fitted(values: Sequence[float | None], slots: int) -> list[float | None]:
    if len(values) <= slots:
        return list(values)
    step = len(values) / slots
    return [values[int(index * step)] for index in range(slots)]


def _dots(
    values: Sequence[float | None], *, columns: int, height: int, top: float, threshold: float
) -> tuple[list[list[int]], list[bool]]:
    cells = [[0] * columns for _ in range(height)]
    hot = [False] * columns
    previous: int | None = None
    for index, value in enumerate(values):
        if value is None:
            previous = None
            continue
        level = min(height * 4 - 1, max(0, int(value / top * height * 4)))
        start = level if previous is None else previous
        # A jump is drawn as a stroke, so that the line never breaks.
        for dot in range(min(level, start), max(level, start) + 1):
            row, inside = divmod(height * 4 - 1 - dot, 4)
            cells[row][index // 2] |= _DOTS[inside][index % 2]
        previous = level
        hot[index // 2] |= value > threshold
    return cells, hot
