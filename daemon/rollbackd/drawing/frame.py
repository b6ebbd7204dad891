"""One plot of values over time: its frame, lines, threshold, bands and staffs."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from rollbackd.drawing.axes import RIGHT, WIDTH, TimeScale, ValueScale
from rollbackd.drawing.markup import Markup, element, joined

_LEFT: Final = 64.0
_TOP: Final = 30.0
_BOTTOM: Final = 250.0
#: Room for words on top of each other, where staffs stand too close for one row.
_ROW: Final = 15.0
#: About the width of a letter.
_LETTER: Final = 6.6


@dataclass(frozen=True, slots=True)
class Staff:
    """A moment that is marked from top to bottom, with its words above."""

    at_ms: int
    words: str
    title: str
    #: The class of its line.
    kind: str


@dataclass(frozen=True, slots=True)
class Frame:
    """Where times and values lie; `top` is where the plot begins, below the words."""

    x: TimeScale
    y: ValueScale
    top: float = _TOP
    bottom: float = _BOTTOM

    @classmethod
    def around(cls, from_ms: int, to_ms: int, values: list[float], *, rows: int = 1) -> Self:
        """A frame that holds these values, with so many rows for words."""
        top = _TOP + _ROW * (rows - 1)
        bottom = _BOTTOM + _ROW * (rows - 1)
        scale = ValueScale.around(values, top=top, bottom=bottom)
        return cls(TimeScale(from_ms, to_ms, _LEFT), scale, top, bottom)

    def grid(self) -> Markup:
        """Both axes."""
        return joined([self.x.grid(self.top, self.bottom), self.y.grid(_LEFT)])

    def breach(self, bound: float, *, above: bool) -> Markup:
        """A tint over the side of a bound that is bad."""
        y = self.y.y(bound)
        top, bottom = (self.top, y) if above else (y, self.bottom)
        height = max(0.0, bottom - top)
        return element(
            "rect", x=_LEFT, y=top, width=WIDTH - RIGHT - _LEFT, height=height, class_="breach"
        )

    def threshold(self, bound: float, words: str) -> Markup:
        """The bound as a dashed line with its words."""
        y = self.y.y(bound)
        line = element("line", x1=_LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="threshold")
        return joined([line, element("text", words, x=_LEFT + 6, y=y - 5, class_="t2")])

    def line(self, times_ms: Sequence[int], values: Sequence[float | None], number: int) -> Markup:
        """The line of this number, broken where there is no data."""
        steps: list[str] = []
        drawing = False
        for time_ms, value in zip(times_ms, values, strict=True):
            if value is None or not math.isfinite(value):
                drawing = False
                continue
            place = f"{self.x.x(time_ms):.1f} {self.y.y(value):.1f}"
            # a lone point is drawn as a line of no length
            steps.append(f"L{place}" if drawing else f"M{place}h0.1")
            drawing = True
        return element("path", d="".join(steps), class_=f"line s{number}", stroke_linecap="round")

    def dot(self, at_ms: int, value: float, title: str, *, kind: str, radius: int) -> Markup:
        """A point on a line."""
        x, y = self.x.x(at_ms), self.y.y(value)
        return element("circle", element("title", title), cx=x, cy=y, r=radius, class_=kind)

    def band(self, from_ms: int, to_ms: int, title: str, *, kind: str = "hold-band") -> Markup:
        """A stretch of time."""
        x = self.x.x(from_ms)
        width = max(1.0, self.x.x(to_ms) - x)
        return element(
            "rect", element("title", title), x=x, y=self.top, width=width,
            height=self.bottom - self.top, class_=kind,
        )  # fmt: skip

    def staff(self, staff: Staff, *, row: int = 0) -> Markup:
        """The line of a moment; its words stand `row` rows above the plot."""
        x = self.x.x(staff.at_ms)
        y = self.top - 10 - _ROW * row
        parts = [
            element(
                "line", element("title", staff.title), class_=staff.kind, x1=x, x2=x,
                y1=y + 6, y2=self.bottom,
            )
        ]  # fmt: skip
        if staff.words:
            near_end = x + _LETTER * len(staff.words) > WIDTH - RIGHT
            place, anchor = (x - 6, "end") if near_end else (x, "start")
            parts.append(
                element("text", staff.words, x=place, y=y, class_="t2", text_anchor=anchor)
            )
        return joined(parts)

    def svg(self, parts: Iterable[Markup], label: str, *, ends_in_view: bool = False) -> Markup:
        """The drawing; `label` is what a screen reader says of it.

        Where it is wider than the screen it is scrolled, from its end if that is what matters.
        """
        height = self.bottom + 26
        drawing = element(
            "svg", *parts, viewBox=f"0 0 {WIDTH:g} {height:g}", role="img", aria_label=label
        )
        return element(
            "div", drawing, class_="wide to-end" if ends_in_view else "wide", tabindex=0,
            role="group", aria_label=label,
        )  # fmt: skip


def rows_of(staffs: Sequence[Staff], x: TimeScale) -> list[int]:
    """For each staff, in order of time, the lowest row in which its words stand free."""
    ends: list[float] = []
    rows = []
    for staff in staffs:
        start = x.x(staff.at_ms)
        width = _LETTER * len(staff.words)
        if start + width > WIDTH - RIGHT:
            start -= width + 6
        row = next((n for n, end in enumerate(ends) if end + 8 <= start), len(ends))
        if row == len(ends):
            ends.append(0.0)
        ends[row] = start + width
        rows.append(row)
    return rows


def key_item(shape: Markup, words: str) -> Markup:
    """A shape of a plot and what it means."""
    return element("span", element("svg", shape, viewBox="0 0 22 12", aria_hidden="true"), words)


def line_key(number: int, words: str) -> Markup:
    """What the line of this number is."""
    return key_item(
        element("rect", x=0, y=5, width=22, height=3, rx=1.5, class_=f"dot{number}"), words
    )
