"""The model on this machine: near for what answers a question, far for what does not."""

import importlib.util
import math
from importlib.machinery import ModuleSpec

import pytest

from rollbackd.errors import PermanentError
from rollbackd.scorers.embedded import EmbeddedScorer
from tests.scorers.answers import ANSWERED, asked

_PACKAGES = ("numpy", "safetensors", "tokenizers", "wordllama")
installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in _PACKAGES),
    reason="needs rollbackd[scorer]",
)


@installed
async def test_a_context_that_answers_is_nearer_than_any_other() -> None:
    """On both sides of the 0.60 from which the requirements call it a risk, with some slack."""
    scorer = EmbeddedScorer()
    facts = [asked(q, c) for q, _ in ANSWERED for _, c in ANSWERED]
    scores = [score.delta_s or 0.0 for score in await scorer.score(facts)]
    for row, _ in enumerate(ANSWERED):
        of_question = scores[row * len(ANSWERED) : (row + 1) * len(ANSWERED)]
        answering = of_question.pop(row)
        assert answering < 0.65
        assert min(of_question) > 0.80
    await scorer.close()


@installed
async def test_the_same_text_has_no_distance_whatever_stands_beside_it() -> None:
    scorer = EmbeddedScorer()
    text = ANSWERED[0][1]
    alone = await scorer.score([asked(text, text)])
    among = await scorer.score([asked("hm", "a" * 5_000), asked(text, text), asked("x")])
    assert alone[0].delta_s == pytest.approx(0.0, abs=1e-6)
    assert among[1] == alone[0]
    await scorer.close()


@installed
async def test_only_who_has_an_anchor_is_compared_with_one() -> None:
    scorer = EmbeddedScorer()
    text, other = ANSWERED[0][1], ANSWERED[1][1]
    first, second, third = await scorer.score(
        [asked("q", text, text), asked("q", text), asked("q", text, other)]
    )
    assert first.delta_s_anchor == pytest.approx(0.0, abs=1e-6)
    assert second.delta_s_anchor is None
    assert (third.delta_s_anchor or 0.0) > 0.8
    await scorer.close()


@installed
@pytest.mark.parametrize("text", ["", "\u0000", "\ufffd\ufffe", "🦙" * 3_000, "質問は何ですか"])
async def test_odd_texts_have_a_distance_or_none_and_never_an_error(text: str) -> None:
    scorer = EmbeddedScorer()
    odd, plain = await scorer.score([asked(text, "a context"), asked("a question", "a context")])
    assert odd.delta_s is not None
    assert math.isnan(odd.delta_s) == (text == "")
    assert not math.isnan(plain.delta_s or 0.0)
    await scorer.close()


@installed
async def test_it_says_which_model_it_is() -> None:
    scorer = EmbeddedScorer()
    assert (scorer.model, scorer.version) == ("wordllama-l2_supercat_256", "0.4.0.post1")
    await scorer.close()


@installed
async def test_a_model_that_fails_quotes_no_text() -> None:
    scorer = EmbeddedScorer()
    with pytest.raises(PermanentError, match=r"^the model failed: \w+$"):
        await scorer.score([asked("secret \ud800", "c")])
    await scorer.close()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without(name: str) -> ModuleSpec | None:
        return None if name in {"wordllama", "tokenizers"} else find(name)

    monkeypatch.setattr("importlib.util.find_spec", without)
    with pytest.raises(PermanentError) as caught:
        EmbeddedScorer()
    assert "tokenizers, wordllama" in str(caught.value)
    assert "install `rollbackd[scorer]`" in str(caught.value)
