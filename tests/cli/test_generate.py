"""`rollbackd generate` to a file, to Kafka, to a daemon; its corpus in `rollbackd backtest`."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from aiokafka import AIOKafkaConsumer

from rollbackd.app.generating.scenarios import SCENARIOS
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.services.kafka import Broker

SHORT = ("generate", "--scenario", "healthy-prompt", "--duration", "20s")


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_the_list_as_json_has_every_scenario(run: Run) -> None:
    """With what should fire and which branch should answer."""
    found = json.loads(run("generate", "--list", "--output", "json").stdout)
    assert [each["name"] for each in found] == list(SCENARIOS)
    assert found[0]["line"] == "W1"
    assert found[0]["branch"] == "quality_regression"
    assert found[-1]["kind"] == "healthy"


def test_a_file_is_the_same_for_the_same_seed(run: Run, tmp_path: Path) -> None:
    """Byte for byte, and on the standard output, too."""
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    for file, seed in ((one, "4"), (two, "4"), (other, "5")):
        assert run(*SHORT, "--seed", seed, "--out", str(file)).exit_code == 0
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes() != other.read_bytes()
    assert run(*SHORT, "--seed", "4").stdout.encode() == one.read_bytes()


def test_times_scopes_and_rate_are_as_asked_for(run: Run, tmp_path: Path) -> None:
    """Two services side by side, from the time given."""
    file = tmp_path / "events.ndjson"
    result = run(
        *SHORT, "--out", str(file), "--start", "2025-01-02T03:00:00Z", "--rate", "50",
        "--scope", "rag/us", "--scope", "search/eu",
    )  # fmt: skip
    assert result.exit_code == 0
    events = lines(file)
    assert f"{len(events):,} events over 20s; healthy" in result.stderr
    assert min(event["ts"] for event in events) == 1_735_786_800.0
    assert {(event["service"], event["region"]) for event in events} == {
        ("rag", "us"), ("search", "eu"),
    }  # fmt: skip
    assert 800 < sum(event["event"] == "answer.served" for event in events) < 2_600


def test_windows_are_much_less(run: Run, tmp_path: Path) -> None:
    """Sums instead of an event a request."""
    file = tmp_path / "events.ndjson"
    assert run(*SHORT, "--rate", "100", "--detail", "windows", "--out", str(file)).exit_code == 0
    assert "answer.served" not in {event["event"] for event in lines(file)}
    assert "http.window" in {event["event"] for event in lines(file)}


def test_a_backtest_finds_what_the_labels_say(run: Run, tmp_path: Path) -> None:
    """From the generator through the file and the labels to the score."""
    file, labels = tmp_path / "events.ndjson", tmp_path / "labels.yaml"
    made = run(
        "generate", "--scenario", "latency-doubles", "--rate", "8", "--duration", "16m",
        "--out", str(file), "--labels", str(labels),
    )  # fmt: skip
    assert made.exit_code == 0
    assert "its fault (W7) begins after" in made.stderr
    (label,) = yaml.safe_load(labels.read_text())
    assert label["branch"] == "cost_or_latency"
    result = run(
        "backtest", str(file), "--labels", str(labels), "--min-precision", "1",
        "--min-recall", "1", "--output", "json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["input"]["bad"] == 0


def test_a_reader_that_has_had_enough_ends_it_without_a_word() -> None:
    """As in `rollbackd generate ... | head`."""
    command = [sys.executable, "-m", "rollbackd", "generate", "--scenario", "healthy-prompt"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"event":')
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_a_topic_gets_every_event_keyed_by_its_scope(
    run: Run, kafka: Broker, tmp_path: Path
) -> None:
    """On the real broker, in the order of the file of the same seed."""
    topic = "generated"
    asyncio.run(kafka.create_topic(topic, 1))
    file = tmp_path / "events.ndjson"
    assert run(*SHORT, "--out", str(file)).exit_code == 0
    result = run(*SHORT, "--kafka", kafka.address, "--topic", topic, "--pace", "fast",
                 "--start", "2025-09-01T10:00:00Z")  # fmt: skip
    assert result.exit_code == 0, result.output
    expected = file.read_bytes().splitlines()
    records = asyncio.run(_read(kafka, topic, len(expected)))
    assert [value for _, value in records] == expected
    assert {key for key, _ in records} == {b"rag/eu"}


async def _read(broker: Broker, topic: str, count: int) -> list[tuple[bytes, bytes]]:
    consumer: Any = AIOKafkaConsumer(
        topic, bootstrap_servers=broker.address, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        found: list[tuple[bytes, bytes]] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                polled = await consumer.getmany(timeout_ms=200)
                found += [(each.key, each.value) for part in polled.values() for each in part]
        return found
    finally:
        await consumer.stop()


def test_a_broker_that_is_not_there_is_told(run: Run) -> None:
    """In one line, with what to check."""
    result = run(*SHORT, "--kafka", "127.0.0.1:1", "--topic", "generated")
    assert result.exit_code == 1
    assert "cannot write to topic `generated` at 127.0.0.1:1" in result.stderr
    assert "check --kafka and --topic" in result.stderr


def test_a_daemon_gets_the_events_over_http(run: Run, fake: FakeDaemon) -> None:
    """In bodies of many, each event once; in real time by default, from now on."""
    fake.answer("POST /api/v1/events", {"accepted": 1})
    result = run("generate", "--scenario", "healthy-prompt", "--duration", "1s", "--url", fake.url)
    assert result.exit_code == 0, result.output
    events = [orjson.loads(line) for asked in fake.asked for line in asked.body.splitlines()]
    assert len(events) >= 6
    assert min(event["ts"] for event in events) > 1_756_720_800
    assert f"{len(events):,} events over 1s" in result.stderr


def test_a_daemon_that_says_no_is_told(run: Run, fake: FakeDaemon) -> None:
    """Not every answer is worth trying again."""
    fake.answer("POST /api/v1/events", {"error": "the body is too large"}, status=413)
    result = run(*SHORT, "--url", fake.url, "--pace", "fast")
    assert result.exit_code == 1
    assert "the daemon refused (413): the body is too large" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a --scenario"),
        (("--scenario", "healthy-prompt", "--out", "x", "--url", "http://h"), "take one of"),
        (("--scenario", "healthy-prompt", "--topic", "t"), "--kafka and --topic go together"),
        (("--scenario", "healthy-prompt", "--duration", "5 min"), "is not a duration"),
        (("--scenario", "healthy-prompt", "--scope", "a b"), "is not a scope name"),
        (("--scenario", "healthy-prompt", "--start", "noon"), "is not a time"),
        (("--scenario", "healthy-prompt", "--url", "http://u:p@h"), "must not carry credentials"),
    ],
)
def test_wrong_usage_is_refused(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """With exit code 2, before anything is made."""
    result = run("generate", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize("option", ["--out", "--labels"])
def test_a_file_that_cannot_be_written_is_named(run: Run, tmp_path: Path, option: str) -> None:
    """A folder is none."""
    result = run(*SHORT, option, str(tmp_path))
    assert result.exit_code == 1
    assert f"cannot write `{tmp_path}`" in result.stderr.replace("\n", "")


def test_a_corpus_is_judged_in_one_command(run: Run) -> None:
    """A line for each scenario, the sum, and what would make each failure again."""
    corpus = (
        "backtest", "--generated", "2", "--seed", "3", "--jobs", "1", "--rate", "6",
        "--scenario", "latency-doubles", "--scenario", "night-trough",
    )  # fmt: skip
    result = run(*corpus, "--min-precision", "0.99", "--min-recall", "0.99")
    assert result.exit_code == 0, result.output
    assert "2 generated rollouts, 1 of them bad" in result.stdout
    assert "LatencyFarOver 1" in result.stdout
    assert "100.00%" in result.stdout


def test_what_the_rules_miss_is_named_with_what_makes_it_again(run: Run, tmp_path: Path) -> None:
    """Without any rule nothing is found."""
    (tmp_path / "none.yaml").write_text(
        "groups:\n  - name: none\n    rules:\n      - alert: Never\n"
        "        expr: sum by (service, region) (count_over_time(no_such_metric[5m])) > 0\n"
        "        labels: {branch: quality_regression}\n"
    )
    corpus = (
        "backtest", "--generated", "1", "--jobs", "1", "--rate", "1", "--rules",
        str(tmp_path / "none.yaml"), "--scenario", "delta-s-drift", "--min-recall", "0.9",
    )  # fmt: skip
    result = run(*corpus)
    assert result.exit_code == 1
    assert "missed delta-s-drift: no rule fired" in result.stdout
    assert "rollbackd generate --scenario delta-s-drift --seed " in result.stdout
    assert "recall is 0.0000, wanted 0.9" in result.stderr
    facts = json.loads(run(*corpus, "--output", "json").stdout)
    assert (facts["ok"], facts["all"]["labelled"], facts["all"]["found"]) == (False, 1, 0)
    assert facts["faults"][0]["task"]["scenario"] == "delta-s-drift"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("recorded.ndjson",), "name no others"),
        (("--labels", "labels.yaml"), "name no others"),
        (("--scenario", "nobody-home"), "`nobody-home` is not a scenario"),
    ],
)
def test_a_corpus_takes_no_recordings(run: Run, arguments: tuple[str, ...], said: str) -> None:
    """Nor scenarios that are not there."""
    result = run("backtest", "--generated", "2", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
