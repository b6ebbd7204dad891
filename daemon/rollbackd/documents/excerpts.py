"""A source line with a caret under the culprit, as a terminal shows it."""

import unicodedata
from typing import Final

#: Wider lines are cut around the caret.
MAX_COLUMNS: Final = 120
_TAB: Final = 4
#: What of the line stays visible left of the caret when it is cut.
_CONTEXT: Final = 40
_CUT: Final = "…"


def excerpt(line: str, *, column: int, width: int) -> tuple[str, str]:
    """The line as it can be shown, and the carets below it.

    `column` counts characters from 1. Tabs become blanks, wide characters count twice, control
    characters are made visible, and a line that is too wide is cut on both sides of the caret.
    """
    cells = _cells(line)
    start = min(column - 1, len(cells))
    offset = sum(w for _, w in cells[:start]) + max(0, column - 1 - len(cells))
    carets = max(1, sum(w for _, w in cells[start : start + max(1, width)]))
    total = sum(w for _, w in cells)
    if total <= MAX_COLUMNS:
        return "".join(text for text, _ in cells), " " * offset + "^" * carets
    first = max(0, min(offset - _CONTEXT, total - MAX_COLUMNS))
    shown, begins_at = _cut(cells, first)
    carets = min(carets, MAX_COLUMNS - (offset - begins_at))
    return shown, " " * (offset - begins_at) + "^" * max(1, carets)


def printable(text: str) -> str:
    """Text that cannot move the cursor or turn letters round: what would do that is escaped."""
    return "".join(c if not _is_control(c) else c.encode("unicode_escape").decode() for c in text)


def _cells(line: str) -> list[tuple[str, int]]:
    """What each character is shown as, and how many columns that takes."""
    cells: list[tuple[str, int]] = []
    at = 0
    for character in line:
        if character == "\t":
            cell = (" " * (_TAB - at % _TAB), _TAB - at % _TAB)
        elif _is_control(character):
            cell = ("\N{REPLACEMENT CHARACTER}", 1)
        elif unicodedata.combining(character):
            cell = (character, 0)
        else:
            cell = (character, 2 if unicodedata.east_asian_width(character) in "WF" else 1)
        cells.append(cell)
        at += cell[1]
    return cells


def _cut(cells: list[tuple[str, int]], first: int) -> tuple[str, int]:
    """The part from column `first` on, and the column at which it really begins."""
    shown: list[str] = []
    at = used = 0
    begins_at = -1
    is_cut = False
    for text, width in cells:
        if at >= first:
            begins_at = at if begins_at < 0 else begins_at
            if used + width > MAX_COLUMNS:
                is_cut = True
                break
            shown.append(text)
            used += width
        at += width
    if begins_at > 0:
        shown[0] = _CUT + shown[0][1:]
    if is_cut:
        shown[-1] = shown[-1][:-1] + _CUT
    return "".join(shown), begins_at


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp", "Cs"}
