"""Since when a selector has matched nothing."""

from rollbackd.model.events import Sample
from rollbackd.model.labels import labels_of
from rollbackd.promql.matchers import Matcher, MatchOp, Selector
from rollbackd.promql.store import Store
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.triggers.engine import Engine

HOUR = 3_600_000
RULES = """
groups:
  - name: g
    rules:
      - {alert: A, expr: 'x{arm="canary"} > 1 and y > 1'}
      - {alert: B, expr: y > 2}
"""


def selector(name: str) -> Selector:
    return Selector((Matcher("__name__", MatchOp.EQ, name),))


def store() -> Store:
    made = Store(lateness_ms=0, ahead_ms=HOUR, max_series=10)
    for name in ("x", "y"):
        made.register(selector(name), window_ms=60_000, rule=0)
    return made


def sample(name: str, time_ms: int) -> Sample:
    return Sample(labels_of({"__name__": name}), 1.0, time_ms)


def test_silence_counts_from_the_first_look() -> None:
    """Nobody knows what was before."""
    made = store()
    assert made.silent_since(selector("x")) is None
    made.expire(5 * HOUR)
    made.expire(6 * HOUR)
    assert made.silent_since(selector("x")) == 5 * HOUR
    assert made.silent_since(selector("unknown")) is None


def test_a_series_ends_the_silence_and_its_last_sample_begins_the_next() -> None:
    """Not the moment at which it is forgotten."""
    made = store()
    made.expire(HOUR)
    made.ingest([sample("x", 2 * HOUR)], 2 * HOUR)
    assert made.silent_since(selector("x")) is None
    assert made.silent_since(selector("y")) == HOUR
    made.expire(3 * HOUR)
    assert made.silent_since(selector("x")) == 2 * HOUR


def test_a_reload_does_not_forget_the_silence() -> None:
    """The rule is the same, so is what it does not see."""
    old, fresh = store(), store()
    old.expire(HOUR)
    old.ingest([sample("x", 2 * HOUR)], 2 * HOUR)
    fresh.take_over(old)
    fresh.expire(2 * HOUR)
    assert fresh.silent_since(selector("x")) is None
    assert fresh.silent_since(selector("y")) == HOUR


def test_the_engine_names_rules_and_selectors() -> None:
    """As the metric shows them: 0 while something matches."""
    engine = Engine.build([read_rule_file(RULES, file="f")], ahead_ms=100 * HOUR)
    engine.evaluate(HOUR)
    engine.ingest([sample("y", 2 * HOUR)], 2 * HOUR)
    engine.evaluate(25 * HOUR)
    found = {(rule, text): silent for rule, text, silent in engine.silences(26 * HOUR)}
    assert found == {
        ("A", 'x{arm="canary"}'): 25 * HOUR,
        ("A", "y"): 24 * HOUR,
        ("B", "y"): 24 * HOUR,
    }
    engine.ingest([sample("y", 26 * HOUR)], 26 * HOUR)
    assert ("B", "y", 0) in engine.silences(26 * HOUR)
