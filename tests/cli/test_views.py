import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from rollbackd.cli.answers import ShownControl
from rollbackd.cli.demo.drill import Ending
from rollbackd.cli.demo.gists import gist
from rollbackd.cli.demo.live import draw
from rollbackd.cli.demo.plain import PlainLines
from rollbackd.cli.demo.scene import Progress, Scene
from rollbackd.cli.demo.summary import keep_report, last_line, print_summary
from rollbackd.model.controls import ControlValue
from rollbackd.model.incidents import Hold, State
from tests.cli.samples import OPENED_MS, detail


def scene_at(state: State | None) -> Scene:
    scene = Scene(scope="rag/eu", speed=40, threshold=0.15)
    scene.story = "the story so far"
    scene.elapsed_seconds, scene.recorded_ms, scene.events_sent = 12.5, 500_000, 7_000
    scene.drift = [None, 0.01, 0.08, 0.17, 0.21]
    scene.canary_share = 0.3
    scene.before = {
        "flag:canary": {"canary_weight": 0.3},
        "alias:docs_live": {"index": "docs_vA"},
    }
    scene.controls = {
        "flag:canary": ShownControl(value={"canary_weight": 0.0, "global_off": True}, tripped=True),
        "alias:docs_live": ShownControl(value={"index": "docs_vA"}),
    }
    if state is not None:
        scene.detail = detail(state=state)
    return scene


def screen(scene: Scene, width: int = 100, height: int = 32) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    console.print(draw(scene, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_screen_shows_series_checklist_controls_hold_and_log() -> None:
    """Everything that a person wants to see, on one screen of 100 by 32."""
    lines = screen(scene_at(State.WATCHING))
    text = "\n".join(lines)
    assert len(lines) <= 32
    assert max(map(len, lines)) <= 100
    for said in (
        "the story so far",
        "12.5 s = 8m 20s at 40x",
        "canary  30%",
        "7,000 events sent",
        "over the pinned baseline, all users: 0.21  threshold 0.15",
        "✔  flipping       +2.00 s",
        "▶  watching       +3.50 s",
        "-  throttling  not needed",
        "·  closed",
        "flag:canary      canary 30% → canary 0%, switched off",
        "alias:docs_live  docs_vA",
        "green 6m 18s of 10m",
        "● errors 0.0003",
        "+2.80 s  flipping => rotating: flip_verified",
    ):
        assert said in text, said


def test_the_screen_before_an_incident_promises_nothing() -> None:
    """All steps lie ahead."""
    text = "\n".join(screen(scene_at(None)))
    assert "nothing is watched before the flip" in text
    assert "✔" not in text
    assert "▶" not in text


@pytest.mark.parametrize(("width", "height"), [(100, 32), (80, 24), (200, 60), (60, 20)])
def test_the_screen_fits_any_terminal(width: int, height: int) -> None:
    """It is cut, never broken."""
    lines = screen(scene_at(State.WATCHING), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_a_closed_incident_has_no_step_in_progress() -> None:
    """Everything is behind."""
    scene = scene_at(State.CLOSED)
    assert Progress.NOW not in {step.progress for step in scene.steps()}


def test_the_hold_is_a_fraction_of_what_is_wanted() -> None:
    """Never more than all of it."""
    scene = scene_at(State.WATCHING)
    assert scene.hold_fraction == pytest.approx(0.63)
    assert scene.detail is not None
    overdone = msgspec.structs.replace(scene.detail.incident, hold=Hold(green_ms=10**9))
    scene.detail = msgspec.structs.replace(scene.detail, incident=overdone)
    assert scene.hold_fraction == 1.0
    scene.detail = None
    assert scene.hold_fraction == 0.0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("flag:canary", {"canary_weight": 0.3}, "canary 30%"),
        ("flag:canary", {"global_off": True}, "canary 0%, switched off"),
        ("alias:docs_live", {"index": "docs_vB"}, "docs_vB"),
        ("pointer:live", {"target": "blue"}, "blue"),
        ("pins", {"A": "1", "B": "2"}, "2 pins"),
        ("degrade", {"level": 2}, "level 2"),
        ("writes", None, "open"),
        ("writes", {"blocked": True, "scope": "all"}, "blocked (all)"),
        ("cache", {"generation": 7}, "generation 7"),
        ("consumers", None, "running"),
        ("consumers", {"paused": True}, "paused (all)"),
        ("consumers", {"paused": True, "groups": ["a", "b"]}, "paused (a, b)"),
        ("throttle", None, "no limit"),
        ("throttle", {"requests_per_second": 20}, "20 requests/s"),
        ("throttle", {"breaker": "open"}, "no limit, breaker open"),
    ],
)
def test_a_control_in_a_few_words(name: str, value: ControlValue | None, said: str) -> None:
    """Every kind of control has its words; what was never written shows its default."""
    assert gist(name, value) == said


def test_plain_lines_say_each_thing_once() -> None:
    """What a CI log shows: the story, the drift, each transition, the quarters of the hold."""
    console = Console(width=120, file=io.StringIO(), color_system=None)
    plain = PlainLines(console)
    for state in (None, None, State.WATCHING, State.WATCHING):
        plain.show(scene_at(state))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[:3] == [
        " 12.5 s  the story so far",
        " 12.5 s  ΔS drift p95 0.21, threshold 0.15 (canary 30%)",
        " 12.5 s  (new) => detected: trigger_fired",
    ]
    assert lines[-1] == " 12.5 s  green for 50 % of the hold"
    assert len(lines) == len(set(lines))


def test_a_part_of_the_story_comes_after_what_led_to_it() -> None:
    """But the news of an incident before its first step."""
    console = Console(width=120, file=io.StringIO(), color_system=None)
    plain = PlainLines(console)
    for story, state in (("it opened", State.WATCHING), ("it is over", State.CLOSED)):
        scene = scene_at(state)
        scene.story = story
        if state is State.WATCHING:
            assert scene.detail is not None
            scene.detail = msgspec.structs.replace(scene.detail, journal=scene.detail.journal[:2])
        plain.show(scene)
    assert isinstance(console.file, io.StringIO)
    told = [line[8:].strip() for line in console.file.getvalue().splitlines()]
    assert told[0] == "it opened"
    assert told[1].startswith("(new) => detected")
    assert told.index("it is over") > told.index("flipping => rotating: flip_verified")


def ending(*, report: Path | None = None, state: State = State.CLOSED) -> Ending:
    told = detail(state=state, green_at_ms=OPENED_MS + 700_000, closed_at_ms=OPENED_MS + 710_000)
    told = msgspec.structs.replace(told, report_path=str(report or ""))
    return Ending(detail=told, canary_at_ms=OPENED_MS - 90_000)


def test_the_summary_has_times_controls_and_the_post_mortem() -> None:
    """In the time of the service and in the reader's own."""
    console = Console(width=100, file=io.StringIO(), color_system=None)
    scene = scene_at(State.CLOSED)
    scene.during = {"flag:canary": {"canary_weight": 0.0, "global_off": True}}
    print_summary(console, scene, ending(), Path("kept/inc-1/report.md"))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for said in ("1m 30s", "2.25 s", "2.80 s", "11m 50s", "switched off", "kept/inc-1/report.md"):
        assert said in text, said
    assert "docs_vA" not in text


def test_only_a_closed_incident_of_the_right_branch_is_a_good_ending() -> None:
    """Everything else is exit code 1."""
    assert ending().good
    assert not ending(state=State.NEEDS_HUMAN).good
    assert not Ending(detail=None, canary_at_ms=0).good
    assert last_line(ending()) == "incident inc-1 quality_regression closed"
    assert last_line(Ending(detail=None, canary_at_ms=0)) == "no incident was opened"


def test_the_post_mortem_is_kept_with_its_evidence(tmp_path: Path) -> None:
    """The temporary folder goes, the report stays, a second time too."""
    bundle = tmp_path / "state" / "inc-1"
    bundle.mkdir(parents=True)
    (bundle / "report.md").write_text("what happened")
    (bundle / "evidence.json").write_text("{}")
    keep = tmp_path / "kept"
    for _ in range(2):
        kept = keep_report(ending(report=bundle / "report.md"), keep)
    assert kept == keep / "inc-1" / "report.md"
    assert (keep / "inc-1" / "evidence.json").is_file()
    assert keep_report(ending(), keep) is None
    assert keep_report(ending(report=tmp_path / "gone.md"), keep) is None
    assert keep_report(Ending(detail=None, canary_at_ms=0), keep) is None
