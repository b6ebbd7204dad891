"""The HTML report: one file that says it all, and nothing that anybody could inject."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rollbackd.app.backtest.html.page import page
from rollbackd.app.backtest.labels import Label
from rollbackd.app.backtest.scoring import score
from rollbackd.drawing.axes import TimeScale, ValueScale
from tests.app.backtest.playing import HIGH, PINS, event, level, pinned, played
from tests.app.backtest.recordings import START_MS

_VOID = {"meta", "br"}
#: What would make a browser fetch or run something.
_ACTIVE = ("src=", "@import", "url(", "<script", "<link", "<iframe", "javascript:", "onload")

RULES = (
    HIGH
    + """
      - alert: Slowly
        expr: max by (service, region) (level) > 8
        for: 1m
        labels: {branch: quality_regression}
      - alert: Valued
        expr: level > on (service, region) group_left () floor
        labels: {branch: quality_regression}
"""
)


class Balanced(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            if name == "href":
                self.links.add(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture
def report(tmp_path: Path) -> str:
    bad = {**event(5, other=1), "pins": {**PINS, "INDEX_HASH": "b2"}}
    points = [(n, 5 + n / 10) for n in range(6, 120)]
    recording = [
        pinned(), bad, event(5, arm="", floor=7), *level(*points, (121, 1), (400, 12), (401, 1)),
        "{broken",
    ]  # fmt: skip
    findings = played(tmp_path, recording, rules=RULES, with_curves=True)
    label = Label(scope="rag/eu", start_ms=START_MS, end_ms=START_MS + 90_000, note="it was bad")
    missed = Label(scope="rag/us", start_ms=START_MS, end_ms=START_MS + 90_000)
    return page(findings, score(findings, [label, missed]))


def test_the_page_is_well_formed_and_complete(report: str) -> None:
    """Timeline, decisions, plots, score and what could not be read."""
    parsed = read(report)
    text = " ".join(parsed.text)
    for said in (
        "What rollbackd would have done", "Timeline", "When it would act", "would say no",
        "What the rules looked at", "Against what really happened", "What to know",
        "threshold 10", "alias_revert docs_live", "index=docs_vA", "INDEX_HASH", "cooldown",
        "it was bad", "no rule fired", "0.ndjson:", "it compares with no fixed number",
    ):  # fmt: skip
        assert said in text, said


def test_every_link_stays_on_the_page(report: str) -> None:
    """Decisions in the timeline lead to their cards."""
    parsed = read(report)
    assert parsed.links
    assert {f"#{name}" for name in parsed.ids} >= parsed.links


def test_the_page_asks_nobody_for_anything(report: str) -> None:
    """It works offline, and its policy forbids the rest."""
    assert [word for word in _ACTIVE if word in report.lower()] == []
    assert re.findall(r"https?://", report) == []
    assert "default-src &#x27;none&#x27;" in report


def test_markers_show_pending_and_fired(report: str) -> None:
    """On the line, where it happened."""
    assert 'class="pending"><title>' in report
    assert 'class="fire"><title>' in report
    assert 'class="threshold"' in report


def test_what_a_recording_says_is_never_markup(tmp_path: Path) -> None:
    """Labels and pins come from outside."""
    evil = '<script>alert("1")</script>'
    bad: dict[str, Any] = {**event(5, other=1), "pins": {**PINS, "INDEX_HASH": evil}}
    points = [{**e, "labels": {"path": evil}} for e in level((10, 11), (20, 1))]
    findings = played(tmp_path, [pinned(), bad, *points], with_curves=True)
    html = page(findings, None)
    read(html)
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_recording_in_which_nothing_happens_has_a_page(tmp_path: Path) -> None:
    """Short, and it says so."""
    findings = played(tmp_path, [pinned()], with_curves=True)
    text = " ".join(read(page(findings, score(findings, []))).text)
    assert "No rule fired." in text
    assert "n/a" in text


@pytest.mark.parametrize(
    "values", [[0.0], [5.0, 5.0], [-1.0, 1.0], [1e-9, 2e-9], [1e300, 2e300], [-3.0, -2.0]]
)
def test_any_values_have_a_scale(values: list[float]) -> None:
    """With some round ticks, and every value inside."""
    scale = ValueScale.around(values, top=0, bottom=100)
    assert 2 <= len(scale.ticks()) <= 6
    assert all(0 <= scale.y(value) <= 100 for value in values)


@pytest.mark.parametrize("length_ms", [0, 1, 900, 60_000, 3_600_000, 86_400_000, 90 * 86_400_000])
def test_any_length_has_some_round_times(length_ms: int) -> None:
    """Never more than fit."""
    scale = TimeScale(START_MS + 39, START_MS + 39 + length_ms, 100.0)
    assert len(scale.ticks()) <= 10
    assert scale.x(START_MS) == 100.0
