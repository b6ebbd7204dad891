"""`texts` and `vectors` of an event become one fact for a scorer, and stand in no message."""

import json
from typing import Any

import pytest

from rollbackd.events import native
from rollbackd.events.scorable import MAX_CONTEXT, MAX_DIMENSIONS, MAX_QUESTION
from rollbackd.model import facts as f
from rollbackd.model.events import Batch, Rejected
from rollbackd.model.labels import labels_of
from tests.events.bodies import NOW

BARE: dict[str, Any] = {
    "event": "answer.served",
    "ts": NOW / 1_000,
    "service": "rag",
    "region": "eu",
    "arm": "canary",
}
TEXTS = {"question": "who?", "context": "nobody"}


def decoded(*events: dict[str, Any]) -> Batch:
    return native.decode("\n".join(map(json.dumps, events)).encode(), now_ms=NOW)


def scorable(**said: Any) -> f.Scorable:
    (fact,) = decoded({**BARE, **said}).facts
    assert isinstance(fact, f.Scorable)
    return fact


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (TEXTS, ("who?", "nobody", "")),
        ({**TEXTS, "answer": "I", "anchor": "gold", "mine": 1}, ("who?", "nobody", "gold")),
        ({"question": "who?", "context": ["one", "two"]}, ("who?", "one\ntwo", "")),
    ],
)
def test_texts_are_taken(texts: dict[str, Any], expected: tuple[str, str, str]) -> None:
    fact = scorable(texts=texts)
    assert (fact.question, fact.context, fact.anchor) == expected
    assert (str(fact.scope), fact.time_ms, fact.arm, fact.vectors) == (
        "rag/eu",
        NOW,
        "canary",
        None,
    )


def test_vectors_are_taken_before_texts() -> None:
    fact = scorable(vectors={"question": [1, 0.5], "context": [0, 1]}, texts=TEXTS)
    assert fact.vectors is not None
    assert [list(v) for v in fact.vectors if v is not None] == [[1.0, 0.5], [0.0, 1.0]]
    assert fact.question == ""


def test_the_labels_are_those_of_the_values() -> None:
    """So that what a rule leaves out, e.g. cold starts, it leaves out of scores too."""
    said = {"labels": {"cold_start": True, "stage": "retrieve"}}
    (sample,) = decoded({**BARE, **said, "values": {"coverage": 0.5}}).samples
    fact = scorable(**said, texts=TEXTS)
    assert labels_of({**dict(fact.labels), "__name__": "coverage"}) == sample.labels


def test_a_region_that_is_not_said_is_no_label() -> None:
    (fact,) = decoded({"event": "e", "service": "rag", "texts": TEXTS}).facts
    assert isinstance(fact, f.Scorable)
    assert (str(fact.scope), fact.labels) == ("rag/global", (("service", "rag"),))


def test_any_event_may_carry_them_beside_what_else_it_says() -> None:
    batch = decoded(
        {**BARE, "texts": TEXTS, "user": "u", "code": 200, "values": {"coverage": 0.5}},
        {**BARE, "event": "mine", "texts": TEXTS},
    )
    assert [type(fact) for fact in batch.facts] == [f.AnswerServed, f.Scorable, f.Scorable]
    assert len(batch.samples) == 2


def test_who_measures_it_already_is_not_scored() -> None:
    assert decoded({**BARE, "texts": TEXTS, "values": {"delta_s": 0.3}}).facts == []


def test_events_alike_in_all_but_time_and_user_are_all_scored() -> None:
    """Recognised texts would lose their facts: one with texts is never learned."""
    events = [
        {**BARE, "ts": NOW / 1_000 - n, "user": f"u-{n}", "values": {"tokens": n}, "texts": TEXTS}
        for n in range(5)
    ]
    for _ in range(3):
        facts = decoded(*events).facts
        assert sum(isinstance(fact, f.Scorable) for fact in facts) == 5
        assert {fact.user for fact in facts if isinstance(fact, f.AnswerServed)} == {
            "u-0", "u-1", "u-2", "u-3", "u-4",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ({"texts": {"question": "secret"}}, "`texts.context` is missing"),
        ({"texts": {"context": "secret"}}, "`texts.question` is missing"),
        ({"texts": {"question": " ", "context": "secret"}}, "`texts.question` is empty"),
        ({"texts": {"question": "secret", "context": []}}, "`texts.context` is empty"),
        ({"texts": {"question": 5, "context": "secret"}}, "`texts.question`: expected `str"),
        ({"texts": {"question": "secret", "context": [1]}}, "`texts.context[0]`: expected `str`"),
        ({"texts": "secret"}, "`texts`: expected `object | null`, got `str`"),
        (
            {"texts": {"question": "secret" * 9_000, "context": "c"}},
            f"`texts.question` has 54000 characters; at most {MAX_QUESTION} are allowed",
        ),
        (
            {"texts": {**TEXTS, "anchor": "secret" * 11_000}},
            f"`texts.anchor` has 66000 characters; at most {MAX_CONTEXT} are allowed",
        ),
        (
            {"texts": {**TEXTS, "context": ["secret"] * 11_000}},
            f"`texts.context` has 76999 characters; at most {MAX_CONTEXT} are allowed",
        ),
        ({"vectors": {"question": [0.625]}}, "`vectors.context` is missing"),
        ({"vectors": {"question": [], "context": [0.625]}}, "`vectors.question` is empty"),
        (
            {"vectors": {"question": [0.625, 1], "context": [1]}},
            "`vectors.context` has 1 numbers and `vectors.question` 2; they must come from one",
        ),
        (
            {"vectors": {"question": [1], "context": [1], "anchor": [0.625, 1]}},
            "`vectors.anchor` has 2 numbers and `vectors.question` 1",
        ),
        (
            {"vectors": {"question": [0.625] * (MAX_DIMENSIONS + 1), "context": [1]}},
            "`vectors.question` has 4097 numbers; at most 4096 are allowed",
        ),
        ({"vectors": {"question": [0.625, "x"], "context": [1]}}, "`vectors.question[1]`: expec"),
        ({"texts": TEXTS, "service": ...}, "`service` is missing; `texts` are of one service"),
        ({"ts": [], "texts": {"question": "secret"}}, "`ts`"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_not_quoted(
    said: dict[str, Any], because: str
) -> None:
    event = {key: value for key, value in {**BARE, **said}.items() if value is not ...}
    with pytest.raises(Rejected) as caught:
        decoded(event)
    assert because in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "0.625" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"event": "e", "texts": {"question": "secret',
        b'{"texts": {"question": "secret"}, "event": "e"} and more',
        b'[{"event": "e", "vectors": {"question": [0.625, secret',
    ],
)
def test_a_body_that_is_not_json_is_quoted_up_to_them(body: bytes) -> None:
    with pytest.raises(Rejected, match="not JSON") as caught:
        native.decode(body, now_ms=NOW)
    assert "secret" not in str(caught.value)
    assert "0.625" not in str(caught.value)
