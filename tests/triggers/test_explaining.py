"""Why a rule fires or does not, in the words that a person reads."""

from pathlib import Path

import msgspec
import pytest

from rollbackd.model.decisions import Reason
from rollbackd.model.events import Sample
from rollbackd.model.explanations import Fate, RuleExplanation
from rollbackd.model.labels import Labels
from rollbackd.model.triggers import RuleState
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.triggers.engine import Engine
from rollbackd.triggers.explaining import Question, UnknownRuleError
from tests.triggers.rule_texts import T0, engine_of, feed, named

SHIPPED = Path(__file__).parents[2] / "rules" / "when-to-pull.yaml"
SECOND = 1_000
RULE = "- {alert: A, expr: x > 1, for: 10s, labels: {branch: b}}"


def explained(
    engine: Engine, rule: str, at_ms: int, *, fate: Fate | None = None, **scope: str
) -> RuleExplanation:
    """The explanation of the only rule of a name."""

    def fate_of(_rule: str, _labels: Labels) -> Fate:
        return fate or Fate()

    where = f"{scope.get('service', '')}/{scope.get('region', '')}" if scope else ""
    question = Question(at_ms=at_ms, scope_labels=scope, scope=where, fate_of=fate_of, limit=3)
    (found,) = engine.explain(rule, question)
    return found


def shipped() -> Engine:
    """The shipped rules with a canary of two regions, of which one has a baseline."""
    engine = Engine.build([read_rule_file(SHIPPED.read_text(), file="rules.yaml")])
    for region, count in (("eu", 131), ("us", 300)):
        labels = named("delta_s", service="rag", region=region, arm="canary")
        engine.ingest([Sample(labels, 0.8, T0 + i * 100) for i in range(count)], T0 + 30 * SECOND)
    engine.pin(named("baseline:delta_s:p95", service="rag", region="eu"), 0.4)
    return engine


def test_a_sample_floor_is_the_reason() -> None:
    """The part that let nothing through is named with the value that it saw."""
    engine = shipped()
    engine.evaluate(T0 + 30 * SECOND)
    found = explained(engine, "QualityDrift", T0 + 30 * SECOND, service="rag", region="eu")
    assert found.state is RuleState.INACTIVE
    (because,) = found.because
    assert because == (
        "no elements: the left side of `unless` has none because the right side of `and` has none"
        " because `>= 200` filtered it:"
        ' `count_over_time(delta_s{arm="canary",cold_start!="true"}[5m])` is 131'
    )
    assert found.scope == "rag/eu"
    assert found.notes == []


def test_a_missing_baseline_is_the_reason() -> None:
    """Another region's baseline is none of this one's."""
    engine = shipped()
    engine.evaluate(T0 + 30 * SECOND)
    found = explained(engine, "QualityDrift", T0 + 30 * SECOND, service="rag", region="us")
    (because,) = found.because
    assert "unknown baseline: `baseline:delta_s:p95` has no series for rag/us" in because


def test_several_scopes_want_a_closer_look() -> None:
    """Without a scope the reason may be that of another one; a note says so."""
    engine = shipped()
    engine.evaluate(T0 + 30 * SECOND)
    found = explained(engine, "QualityDrift", T0 + 30 * SECOND)
    assert found.notes == ["2 scopes feed this rule; ask for one, and the reason is the one there"]


def test_the_scope_comes_first_and_the_rest_is_counted() -> None:
    """The lists are bounded, the totals are not."""
    engine = engine_of("- {alert: A, expr: x > 100}")
    for number in range(40):
        feed(engine, "x", number, T0, service="s", region=f"r{number:02}")
    engine.evaluate(T0)
    found = explained(engine, "A", T0, service="s", region="r33")
    (selector,) = found.tree.children
    assert selector.elements[0].labels["region"] == "r33"
    assert (len(selector.elements), selector.total, selector.here) == (3, 40, 1)
    assert (len(selector.series), selector.series_total) == (3, 40)
    assert selector.series[0].labels["region"] == "r33"
    assert found.because == ["no elements: `> 100` filtered it: `x` is 33"]


def test_a_pending_rule_says_how_long_and_when() -> None:
    """The time spent so far is that of the instance itself."""
    engine = engine_of(RULE)
    feed(engine, "x", 2, T0)
    engine.evaluate(T0)
    found = explained(engine, "A", T0 + 4 * SECOND)
    assert found.state is RuleState.PENDING
    assert found.because == ["pending for 4s of 10s; fires at 2023-11-14 22:13:40Z if it goes on"]
    (instance,) = found.instances
    assert (instance.held_ms, instance.fires_at_ms) == (4 * SECOND, T0 + 10 * SECOND)
    assert instance.active_at_ms == instance.event_time_ms == T0


@pytest.mark.parametrize(
    ("fate", "sentence"),
    [
        (Fate(), "fires"),
        (Fate(incident_id="INC-1"), "fires; incident INC-1 answers for it"),
        (Fate(reason=Reason.COOLDOWN), "fires, but guardrail `cooldown` said no"),
        (
            Fate(reason=Reason.JOINED_OPEN_INCIDENT),
            "fires; the scope has an open incident, which it joined",
        ),
        (
            Fate(reason=Reason.NO_SCOPE),
            "fires, but its labels name no scope that could be rolled back",
        ),
        (Fate(reason=Reason.UNKNOWN_BRANCH), "fires, but the decision tree has no branch `b`"),
    ],
)
def test_a_firing_rule_says_what_became_of_it(fate: Fate, sentence: str) -> None:
    """The incident that answers, or who said no."""
    engine = engine_of(RULE)
    feed(engine, "x", 2, T0)
    engine.evaluate(T0)
    engine.evaluate(T0 + 10 * SECOND)
    found = explained(engine, "A", T0 + 11 * SECOND, fate=fate)
    assert found.state is RuleState.FIRING
    assert found.because == [sentence]
    assert found.instances[0].fired_at_ms == T0 + 10 * SECOND


def test_a_rule_that_names_no_branch_pulls_nothing() -> None:
    engine = engine_of("- {alert: A, expr: x > 1}")
    feed(engine, "x", 2, T0)
    engine.evaluate(T0)
    assert explained(engine, "A", T0).because == [
        "fires; it names no branch, so that nothing is pulled"
    ]


def test_a_rule_that_is_kept_firing_says_so() -> None:
    engine = engine_of("- {alert: A, expr: x > 1, keep_firing_for: 1m, labels: {branch: b}}")
    feed(engine, "x", 2, T0)
    engine.evaluate(T0)
    feed(engine, "x", 0, T0 + SECOND)
    engine.evaluate(T0 + SECOND)
    found = explained(engine, "A", T0 + 5 * SECOND)
    (because,) = found.because
    assert because == (
        "does not hold since 2023-11-14 22:13:31Z, and fires until 2023-11-14 22:14:31Z"
        " by `keep_firing_for`"
    )
    assert found.instances[0].held_ms == SECOND


def test_each_instance_has_a_sentence() -> None:
    """Those that fire come first, and no more than the limit are named."""
    engine = engine_of(RULE)
    for number in range(5):
        feed(engine, "x", 2, T0, i=str(number))
    engine.evaluate(T0)
    engine.evaluate(T0 + 10 * SECOND)
    feed(engine, "x", 2, T0 + 11 * SECOND, i="late")
    engine.evaluate(T0 + 11 * SECOND)
    found = explained(engine, "A", T0 + 12 * SECOND)
    assert found.because[0] == '{alertname="A", branch="b", i="0"}: fires'
    assert found.because[3] == "and 3 more"
    assert (len(found.instances), found.instances_total) == (3, 6)


def test_what_is_pending_in_the_past_is_not_made_up() -> None:
    """Of a time in the past the expression is known, the instances are not."""
    engine = engine_of(RULE)
    feed(engine, "x", 2, T0)
    engine.evaluate(T0)
    question = Question(at_ms=T0, scope_labels={}, instances_known=False, notes=("past",))
    (found,) = engine.explain("A", question)
    assert (found.state, found.instances, found.notes) == (None, [], ["past"])
    assert found.because == ["the expression holds for 1 element at this time"]


def test_a_recording_rule_is_explained_too() -> None:
    engine = engine_of("- {record: r, expr: sum by (a) (x)}\n- {alert: B, expr: r > 1}")
    assert explained(engine, "r", T0).because == ["no elements: `x` has no series"]
    feed(engine, "x", 2, T0, a="1")
    found = explained(engine, "r", T0)
    assert (found.kind, found.state, found.because) == ("record", None, ["records 1 series"])


def test_a_rule_that_cannot_be_evaluated_says_why() -> None:
    engine = engine_of("- {alert: A, expr: x * on (s) y > 1}")
    for i in "ab":
        feed(engine, "x", 1, T0, s="1", i=i)
        feed(engine, "y", 1, T0, s="1", i=i)
    engine.evaluate(T0)
    (because,) = explained(engine, "A", T0).because
    assert because.startswith("it cannot be evaluated: ")
    assert "many-to-many" in because


def test_rules_of_one_name_are_all_explained() -> None:
    engine = engine_of("- {alert: A, expr: x > 1}\n- {alert: A, expr: x > 2}")
    found = engine.explain("A", Question(at_ms=T0, scope_labels={}))
    assert [each.expr for each in found] == ["x > 1", "x > 2"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("qualitydrft", "no rule is called `qualitydrft`; did you mean `QualityDrift`?"),
        ("zzz", "no rule is called `zzz`"),
    ],
)
def test_an_unknown_rule_comes_with_a_suggestion(name: str, said: str) -> None:
    with pytest.raises(UnknownRuleError) as caught:
        explained(shipped(), name, T0)
    assert str(caught.value) == said


def test_an_explanation_survives_json() -> None:
    """With numbers that JSON does not know."""
    engine = engine_of("- {alert: A, expr: x / 0 > 1}")
    feed(engine, "x", 2, T0)
    engine.evaluate(T0)
    found = explained(engine, "A", T0)
    body = msgspec.json.encode(found)
    assert msgspec.json.decode(body, type=RuleExplanation) == found
    assert b'"value":"Inf"' in body


def test_explaining_changes_nothing() -> None:
    """No rule becomes due, and the next evaluation finds what it would have found."""
    engine, twin = engine_of(RULE), engine_of(RULE)
    for each in (engine, twin):
        feed(each, "x", 2, T0)
        each.evaluate(T0)
    explained(engine, "A", T0 + 5 * SECOND)
    assert engine.dirty == twin.dirty
    at_ms = T0 + 10 * SECOND
    assert engine.evaluate(at_ms) == twin.evaluate(at_ms)
