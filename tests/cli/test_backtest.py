"""`rollbackd backtest`: its report, its figures and its exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from rollbackd.settings import shipped_rules
from tests.app.backtest import recordings
from tests.app.backtest.playing import HIGH, START, TREE, level, pinned, write
from tests.cli.conftest import Run

GOLDEN = Path(__file__).parent / "golden"
DOCUMENT = Path(__file__).parents[2] / "docs" / "backtest.md"

LABELS = """
- {scope: rag/eu, branch: quality_regression, start: 1795204805, end: 1795204900}
- {scope: rag/eu, start: 1795205200, end: 1795205300}
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A recording with one decision and one that cools down, and its rules."""
    points = level((1, 5), (10, 11), (60, 1), (400, 11), (410, 1))
    recording = write(tmp_path / "rollout.ndjson", [pinned(), *points])
    (tmp_path / "rules.yaml").write_text(HIGH)
    (tmp_path / "tree.yaml").write_text(TREE)
    (tmp_path / "labels.yaml").write_text(LABELS)
    return [
        "backtest", str(recording), "--rules", str(tmp_path / "rules.yaml"),
        "--decision-tree", str(tmp_path / "tree.yaml"),
    ]  # fmt: skip


def test_the_report_tells_the_timeline(run: Run, arguments: list[str]) -> None:
    """What fired, what would move, which guardrail said no."""
    result = run(*arguments)
    assert result.exit_code == 0
    for said in (
        "rag/eu", "20:00:10  High fires", "would act on quality_regression", "flag_off canary",
        "until 2026-11-20 20:05:10Z; then in cooldown until",
        "20:06:40  decision 2: would not act on quality_regression: cooldown says no",
        "1 rule fired; rollbackd would have acted once (on rag/eu), and a guardrail would have",
    ):  # fmt: skip
        assert said in result.stdout, result.stdout
    assert result.stderr == ""


def test_the_facts_are_there_for_scripts(run: Run, arguments: list[str], tmp_path: Path) -> None:
    """One JSON document on standard output."""
    result = run(*arguments, "--labels", str(tmp_path / "labels.yaml"), "--output", "json")
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    assert facts["ok"] is True
    assert [d["reason"] for d in facts["decisions"]] == ["trigger_fired", "cooldown"]
    assert facts["decisions"][0]["acts"][1]["lever"] == "flag_off"
    assert facts["score"]["precision"] == 1
    assert facts["score"]["recall"] == 0.5
    assert facts["score"]["detect_median_ms"] == 5_000
    assert facts["input"]["events"] == 6
    assert "curves" not in facts


def test_missed_numbers_are_a_failure(run: Run, arguments: list[str], tmp_path: Path) -> None:
    """For a pipeline: exit code 1, and the report all the same."""
    labels = ("--labels", str(tmp_path / "labels.yaml"))
    assert run(*arguments, *labels, "--min-precision", "1").exit_code == 0
    result = run(*arguments, *labels, "--min-precision", "1", "--min-recall", "0.6")
    assert result.exit_code == 1
    assert "error: recall is 0.500, wanted 0.6" in result.stderr
    assert "missed 2026-11-20 20:06:40Z  rag/eu  any branch: High fired, but `cooldown`" in (
        result.stdout
    )
    facts = run(*arguments, *labels, "--min-recall", "0.6", "-o", "json")
    assert facts.exit_code == 1
    assert json.loads(facts.stdout)["shortfalls"] == ["recall is 0.500, wanted 0.6"]


def test_the_html_report_is_one_file(run: Run, arguments: list[str], tmp_path: Path) -> None:
    """With the plot of the rule that fired."""
    html = tmp_path / "report.html"
    result = run(*arguments, "--html", str(html))
    assert result.exit_code == 0
    assert f"wrote {html}" in result.stderr.replace("\n", "")
    text = html.read_text()
    assert text.startswith("<!doctype html>")
    assert "threshold 10" in text
    nowhere = run(*arguments, "--html", str(tmp_path / "none" / "report.html"))
    assert nowhere.exit_code == 1
    assert "cannot write" in nowhere.stderr


def test_a_known_good_set_can_come_from_a_file(
    run: Run, arguments: list[str], tmp_path: Path
) -> None:
    """For recordings that begin after the rollout."""
    recording = write(tmp_path / "rollout.ndjson", level((10, 11), (60, 1)))
    without = run(*arguments)
    assert "no_known_good says no" in without.stdout
    good = tmp_path / "good.json"
    good.write_text(json.dumps(pinned(), indent=2))
    assert "would act on" in run(*arguments, "--known-good", str(good)).stdout
    good.write_text(recording.read_text())
    wrong = run(*arguments, "--known-good", str(good))
    assert wrong.exit_code == 1
    assert "there is no `baseline.pinned` event" in wrong.stderr


def test_bad_lines_are_reported_with_their_places(run: Run, arguments: list[str]) -> None:
    """And cost nothing but themselves."""
    path = Path(arguments[1])
    path.write_text("nonsense\n" + path.read_text())
    result = run(*arguments)
    assert result.exit_code == 0
    assert "1 input could not be used" in result.stdout
    assert f"{path}:1: not JSON" in result.stdout.replace("\n", "").replace("    ", "")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "name a recorded file"),
        (("a", "--kafka", "b:1"), "either files or --kafka"),
        (("--kafka", "b:1"), "--kafka needs --topic and --from"),
        (("a", "--topic", "t"), "belong to --kafka"),
        (("a", "--from", "2026-01-01T00:00:00Z"), "belong to --kafka"),
        (("--kafka", "b:1", "--topic", "t", "--from", "soon"), "`soon` is not a time"),
        (("--kafka", "b:1", "--topic", "t", "--from", "9", "--to", "8"), "must be after --from"),
        (("a", "--min-recall", "1"), "add --labels"),
        (("a", "--format", "json"), "`json` is not a format; allowed are auto, native"),
        (("a", "--format", "remote_write"), "`remote_write` is bytes, and a file holds one JSON"),
        (("a", "--format", "auto", "--mapping", "rag-answer"), "exclude each other"),
        (("--generated", "1", "--mapping", "rag-answer"), "name no others"),
        (("a", "--labels", "l", "--min-recall", "2"), "less than or equal to 1"),
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, more: tuple[str, ...], said: str) -> None:
    """With what to do about it."""
    result = run("backtest", *more)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def answers(seconds: range, arm: str, coverage: float) -> list[dict[str, Any]]:
    """The sample of the shipped mapping, once a second."""
    sample = json.loads((shipped_rules() / "mappings/samples/rag-answer.json").read_text())
    quality = {"delta_s": 0.31, "coverage_percent": coverage}
    mine = {**sample, "variant": arm, "client": {}, "quality": quality}
    return [{**mine, "ts": START + at} for at in seconds]


def test_a_topic_of_ones_own_is_played_by_a_shipped_mapping(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A golden file: the shipped rules on answers whose coverage falls on the canary."""
    monkeypatch.chdir(tmp_path)
    events: list[dict[str, Any] | str] = [
        *answers(range(300), "stable", 80), *answers(range(300), "candidate", 80),
        *answers(range(300, 600), "candidate", 30), {"ts": START + 600, "log": "not an answer"},
        {**answers(range(600, 601), "candidate", 30)[0], "variant": "blue"}, "nonsense",
    ]  # fmt: skip
    write(Path("answers.ndjson"), events)
    pins = {"PROMPT_VER": "p-11"}
    baseline = {"coverage": {"mean": 0.8, "count": 600}, "delta_s": {"p50": 0.3, "p95": 0.4}}
    write(Path("good.ndjson"), [pinned(pins=pins, baseline=baseline)])
    arguments = ("answers.ndjson", "--mapping", "rag-answer", "--known-good", "good.ndjson")
    result = run("backtest", *arguments)
    assert result.exit_code == 0, result.output
    printed = "".join(f"{line.rstrip()}\n" for line in result.stdout.splitlines())
    assert printed == (GOLDEN / "backtest-rag-answer.txt").read_text()


def test_a_mapping_that_takes_nothing_is_said(run: Run, tmp_path: Path) -> None:
    """A wrong path looks like this; the name of a mapping may be wrong as well."""
    recording = write(tmp_path / "answers.ndjson", [{"log": "line"}, {"log": "line"}])
    nothing = run("backtest", str(recording), "--mapping", "rag-answer")
    assert nothing.exit_code == 1
    assert "that says anything, among 2; see `rollbackd check --sample`" in nothing.stderr
    unknown = run("backtest", str(recording), "--mapping", "rag-answers")
    assert unknown.exit_code == 1
    assert "did you mean `rag-answer`?" in unknown.stderr
    broken = tmp_path / "broken.yaml"
    broken.write_text("events: [{event: answer.served, service: s, values: {a: $..b}}]\n")
    refused = run("backtest", str(recording), "--mapping", str(broken))
    assert refused.exit_code == 1
    assert f"{broken}:1:" in refused.stderr


def test_lines_may_be_in_a_format_of_the_daemon(run: Run, arguments: list[str]) -> None:
    """As the config names it; here what Prometheus sends to Kafka."""
    path = Path(arguments[1])
    labels = {"__name__": "level", "service": "rag", "region": "eu", "arm": "canary"}
    stamps = {at: f"2026-11-20T20:00:{at:02}Z" for at in (5, 10, 20)}
    lines = [{"labels": labels, "value": f"{at}.5", "timestamp": t} for at, t in stamps.items()]
    write(path, lines)
    result = run(*arguments, "--format", "prometheus_json")
    assert result.exit_code == 0, result.output
    assert "20:00:10  High fires  10.5" in result.stdout
    assert run(*arguments).exit_code == 1


@pytest.mark.parametrize("name", ["none.ndjson", "empty.ndjson"])
def test_what_cannot_be_read_is_exit_code_1(run: Run, tmp_path: Path, name: str) -> None:
    """One clear line."""
    (tmp_path / "empty.ndjson").write_text("\n")
    result = run("backtest", str(tmp_path / name))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output


def test_a_bad_labels_file_is_told_with_its_positions(
    run: Run, arguments: list[str], tmp_path: Path
) -> None:
    """Before anything is played."""
    labels = tmp_path / "labels.yaml"
    labels.write_text("- {scope: rag/eu, branch: qualty, start: 1, end: 2}\n")
    result = run(*arguments, "--labels", str(labels))
    assert result.exit_code == 1
    assert f"{labels}:1:27: error: `qualty` is not allowed here" in result.stderr


@pytest.mark.slow
def test_the_example_of_the_documentation_is_what_comes_out(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the letter, so that the page cannot drift."""
    monkeypatch.chdir(tmp_path)
    recordings.write(Path("rollout.ndjson"), recordings.hour(recordings.RAG, recordings.SEARCH))
    Path("labels.yaml").write_text(recordings.LABELS)
    monkeypatch.setenv("COLUMNS", "100")
    result = run("backtest", "rollout.ndjson", "--labels", "labels.yaml")
    said = "\n".join(line.rstrip() for line in result.stdout.rstrip().splitlines())
    _, _, after = DOCUMENT.read_text().partition("and compares -->\n```\n")
    assert said == after.partition("\n```\n")[0]
