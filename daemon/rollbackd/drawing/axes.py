"""Scales and axes: from times and values to places in a drawing."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rollbackd.drawing.markup import Markup, element, joined

WIDTH: Final = 1040.0
RIGHT: Final = 28.0

_SECOND: Final = 1_000
_STEPS_MS: Final = tuple(
    seconds * _SECOND
    for seconds in (
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
        86_400, 172_800, 604_800,
    )
)  # fmt: skip
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Milliseconds to x."""

    from_ms: int
    to_ms: int
    left: float

    def x(self, time_ms: int) -> float:
        """Where a time lies, kept inside the drawing."""
        length = max(1, self.to_ms - self.from_ms)
        share = min(1.0, max(0.0, (time_ms - self.from_ms) / length))
        return self.left + share * (WIDTH - RIGHT - self.left)

    def ticks(self) -> list[int]:
        """Round times, some eight of them."""
        length = self.to_ms - self.from_ms
        step = next((s for s in _STEPS_MS if length / s <= 9), _STEPS_MS[-1])
        step *= max(1, math.ceil(length / step / 9))
        first = -(-self.from_ms // step) * step
        return list(range(first, self.to_ms + 1, step))

    def grid(self, top: float, bottom: float) -> Markup:
        """A thin line at every tick, with its time below."""
        ticks = self.ticks()
        step = ticks[1] - ticks[0] if len(ticks) > 1 else _DAY_MS
        parts = []
        for index, tick in enumerate(ticks):
            x = self.x(tick)
            parts.append(element("line", x1=x, x2=x, y1=top, y2=bottom, class_="grid"))
            text = clock_text(tick, step, with_date=index == 0 or tick % _DAY_MS == 0)
            parts.append(
                element("text", text, x=x, y=bottom + 16, class_="tm", text_anchor="middle")
            )
        return joined(parts)


@dataclass(frozen=True, slots=True)
class ValueScale:
    """Values to y, larger ones higher."""

    low: float
    high: float
    top: float
    bottom: float

    @classmethod
    def around(cls, values: list[float], *, top: float, bottom: float) -> "ValueScale":
        """A scale that holds all of them with a little air."""
        low, high = min(values), max(values)
        air = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
        floor = 0.0 if low >= 0 and low - air < 0 else low - air
        return cls(floor, high + air, top, bottom)

    def y(self, value: float) -> float:
        """Where a value lies, kept inside the drawing."""
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return self.bottom - share * (self.bottom - self.top)

    def ticks(self) -> list[float]:
        """Round values, some four of them."""
        raw = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [n * step for n in range(first, last + 1)]

    def grid(self, left: float) -> Markup:
        """A thin line at every tick, with its value to the left."""
        parts = []
        for tick in self.ticks():
            y = self.y(tick)
            parts.append(element("line", x1=left, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
            parts.append(
                element("text", f"{tick:.4g}", x=left - 8, y=y + 4, class_="tm", text_anchor="end")
            )
        return joined(parts)


def clock_text(time_ms: int, step_ms: int, *, with_date: bool) -> str:
    """The time of a tick, as short as its neighbours allow."""
    moment = datetime.fromtimestamp(time_ms / 1_000, UTC)
    if step_ms >= _DAY_MS:
        return moment.strftime("%d %b")
    text = moment.strftime("%H:%M" if step_ms >= 60_000 else "%H:%M:%S")
    return f"{moment:%d %b} {text}" if with_date else text
