"""The report as a browser lays it out: wide and narrow, light and dark."""

from pathlib import Path
from typing import Any, Final

import pytest

from rollbackd.evidence.page import render_page
from tests.evidence.drift import drift_bundle
from tests.services.availability import Component, require
from tests.services.chromium import measure, screenshot

#: Desk and phone; headless Chromium lays nothing out narrower than 500.
_WIDTHS: Final = [1280, 500]

_LAYOUT: Final = """{
  overflow: document.documentElement.scrollWidth - window.innerWidth,
  background: getComputedStyle(document.body).backgroundColor,
  ink: getComputedStyle(document.body).color,
  answers: [...document.querySelectorAll('.answers .card')].map(
    e => [e.getBoundingClientRect().bottom, e.innerText.split('\\n')[0]]),
  plots: [...document.querySelectorAll('main > .figure > .wide > svg')].filter(
    e => e.getBoundingClientRect().height > 0).map(svg => ({
      label: svg.getAttribute('aria-label'),
      box: ['left', 'top', 'right', 'bottom'].map(side => svg.getBoundingClientRect()[side]),
      lines: [...svg.querySelectorAll('path.line')].map(
        e => [e.getBoundingClientRect().width, getComputedStyle(e).stroke]),
      marks: [...svg.querySelectorAll('.marks line')].map(
        e => [e.getBoundingClientRect().height, getComputedStyle(e).stroke]),
      words: [...svg.querySelectorAll('text')].map(e => {
        const box = e.getBoundingClientRect();
        return [e.textContent, box.left, box.top, box.right, box.bottom]; }),
      shown: svg.parentElement.getBoundingClientRect().right,
    })),
  rows: [...document.querySelectorAll('tbody tr')].filter(
    e => e.getBoundingClientRect().height > 0).length,
  headings: [...document.querySelectorAll('h2')].map(e => e.innerText),
}"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The report of the story."""
    require(Component.CHROMIUM)
    path = tmp_path / "report.html"
    path.write_text(render_page(drift_bundle()))
    return path


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", _WIDTHS)
def test_plots_and_timeline_are_there(page: Path, width: int, *, dark: bool) -> None:
    """Drawn, in the colours of the reader's choice, and nothing sticks out of the screen."""
    seen = measure(page, _LAYOUT, width=width, dark=dark)
    assert seen["overflow"] <= 0
    light, dim = ("ink", "background") if dark else ("background", "ink")
    assert _brightness(seen[light]) > 240
    assert _brightness(seen[dim]) < 40
    assert [words for _, words in seen["answers"]] == [
        "What broke?", "What was done?", "Is it all right now?", "What do you have to do?",
    ]  # fmt: skip
    assert "Timeline" in seen["headings"]
    assert "Root cause" in seen["headings"]
    assert seen["rows"] > 30
    names = [plot["label"].split(":")[0] for plot in seen["plots"]]
    assert names == ["QualityDrift", "delta_s_p95_drift", "errors"]
    for plot in seen["plots"]:
        _check_plot(plot)


def test_the_answers_come_first(page: Path) -> None:
    """On a phone, all four are on the first two screens; at a desk, on the first."""
    for width, height in ((1280, 600), (500, 1600)):
        seen = measure(page, _LAYOUT, width=width)
        assert max(bottom for bottom, _ in seen["answers"]) < height


def test_a_picture_can_be_taken(page: Path) -> None:
    """Of the page as it is, with its policy: as large as asked, and not blank."""
    blank = page.with_name("blank.html")
    blank.write_text("<!doctype html><title>-</title>")
    for width in _WIDTHS:
        found_width, height, size = screenshot(page, width=width, height=2_400)
        assert (found_width, height) == (width, 2_400)
        assert size > 10 * screenshot(blank, width=width, height=2_400)[2]


def _check_plot(plot: dict[str, Any]) -> None:
    left, top, right, bottom = plot["box"]
    assert bottom - top > 150
    assert plot["lines"]
    for length, colour in plot["lines"]:
        assert length > 0.4 * (right - left)
        assert colour not in {"none", "rgba(0, 0, 0, 0)"}
    assert len(plot["marks"]) >= 3
    assert all(height > 0.5 * (bottom - top) for height, _ in plot["marks"])
    assert len({colour for _, colour in plot["marks"]}) >= 2
    for words, *box in plot["words"]:
        assert box[0] >= left - 1, words
        assert box[2] <= right + 1, words
    _check_overlaps([words for words in plot["words"] if words[0] in _MOMENTS])


_MOMENTS: Final = {"trigger", "freeze", "flip", "green", "hold over", "restored"}


def _check_overlaps(words: list[list[Any]]) -> None:
    for n, (one, left, top, right, bottom) in enumerate(words):
        for other, left2, top2, right2, bottom2 in words[n + 1 :]:
            across = min(right, right2) - max(left, left2)
            down = min(bottom, bottom2) - max(top, top2)
            assert across <= 1 or down <= 4, f"{one} lies on {other}"


def _brightness(colour: str) -> float:
    numbers = colour[colour.index("(") + 1 : -1].split(",")[:3]
    return sum(map(float, numbers)) / 3
