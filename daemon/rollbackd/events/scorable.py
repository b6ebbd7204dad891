"""`texts` and `vectors` of an event: what was asked and retrieved, for a scorer.

No message shows any of it: it is what users wrote.
"""

from array import array
from typing import Final

import msgspec

from rollbackd.events.facts import About
from rollbackd.model.events import Rejected
from rollbackd.model.facts import Scorable, Vectors
from rollbackd.model.labels import Labels

#: Characters.
MAX_QUESTION: Final = 8_192
MAX_CONTEXT: Final = 65_536
MAX_DIMENSIONS: Final = 4_096
#: Between chunks of a context.
_JOINT: Final = "\n"


class Texts(msgspec.Struct, gc=False):
    """`texts` as it is written; the context may be a list of chunks."""

    question: str | None = None
    context: str | list[str] | None = None
    answer: str | None = None
    anchor: str | None = None


class Embeddings(msgspec.Struct, gc=False):
    """`vectors` as it is written."""

    question: list[float] | None = None
    context: list[float] | None = None
    anchor: list[float] | None = None


def scorable(
    texts: Texts | None, vectors: Embeddings | None, about: About, labels: Labels
) -> Scorable:
    """What a scorer is given; vectors are taken where there are both. Raises Rejected."""
    if vectors is not None:
        return Scorable(
            scope=about.scope,
            time_ms=about.time_ms,
            arm=about.arm,
            labels=labels,
            vectors=_vectors(vectors),
        )
    assert texts is not None
    context = texts.context
    _bounded("answer", texts.answer or "", MAX_CONTEXT)
    return Scorable(
        scope=about.scope,
        time_ms=about.time_ms,
        arm=about.arm,
        labels=labels,
        question=_needed("question", texts.question, MAX_QUESTION),
        context=_needed(
            "context", _JOINT.join(context) if isinstance(context, list) else context, MAX_CONTEXT
        ),
        anchor=_bounded("anchor", texts.anchor or "", MAX_CONTEXT),
    )


def _vectors(written: Embeddings) -> Vectors:
    question = _vector("question", written.question)
    context = _vector("context", written.context)
    anchor = None if written.anchor is None else _vector("anchor", written.anchor)
    for name, other in (("context", context), ("anchor", anchor)):
        if other is not None and len(other) != len(question):
            raise Rejected(
                f"`vectors.{name}` has {len(other)} numbers and `vectors.question`"
                f" {len(question)}; they must come from one model"
            )
    return Vectors(question, context, anchor)


def _vector(name: str, written: list[float] | None) -> "array[float]":
    if not written:
        raise Rejected(f"`vectors.{name}` is {'missing' if written is None else 'empty'}")
    if len(written) > MAX_DIMENSIONS:
        raise Rejected(
            f"`vectors.{name}` has {len(written)} numbers; at most {MAX_DIMENSIONS} are allowed"
        )
    return array("f", written)


def _needed(name: str, text: str | None, most: int) -> str:
    if not text or text.isspace():
        raise Rejected(f"`texts.{name}` is {'missing' if text is None else 'empty'}")
    return _bounded(name, text, most)


def _bounded(name: str, text: str, most: int) -> str:
    if len(text) > most:
        raise Rejected(f"`texts.{name}` has {len(text)} characters; at most {most} are allowed")
    return text
