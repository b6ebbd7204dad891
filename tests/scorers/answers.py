"""Questions, what was retrieved for them, and embeddings, as events bring them."""

from array import array
from collections.abc import Sequence
from typing import Final

from rollbackd.model.facts import Scorable, Vectors
from rollbackd.model.labels import Scope, labels_of

NOW: Final = 1_795_377_600_000
RAG: Final = Scope("rag", "eu")
LABELS: Final = labels_of({"service": "rag", "region": "eu", "arm": "canary"})

#: Each with a context that answers it.
ANSWERED: Final = (
    (
        "How do I rotate the cache namespace after an index rollback?",
        "The cache namespace is rotated by writing a new generation; keys hold the index hash.",
    ),
    (
        "What is the refund policy for annual plans?",
        "Annual plans can be refunded in full within 30 days of purchase.",
    ),
    (
        "Which ports does the broker listen on?",
        "Kafka brokers accept client connections on port 9092, and on 9093 with TLS.",
    ),
    (
        "How long does shipping to Norway take?",
        "Parcels to Norway, Sweden and Denmark are delivered in three to five working days.",
    ),
    (
        "Can I change my email address?",
        "Open account settings, choose profile, and enter the new e-mail address.",
    ),
)


def asked(question: str, context: str = "c", anchor: str = "") -> Scorable:
    """One answer with its texts."""
    return Scorable(
        scope=RAG,
        time_ms=NOW,
        arm="canary",
        labels=LABELS,
        question=question,
        context=context,
        anchor=anchor,
    )


def embedded(
    question: Sequence[float], context: Sequence[float], anchor: Sequence[float] | None = None
) -> Scorable:
    """One answer with its embeddings."""
    vectors = Vectors(
        array("f", question), array("f", context), None if anchor is None else array("f", anchor)
    )
    return Scorable(scope=RAG, time_ms=NOW, arm="canary", labels=LABELS, vectors=vectors)
