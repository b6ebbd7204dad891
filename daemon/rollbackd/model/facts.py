"""What events say beyond samples: single facts that detectors compare, and changes to a service.

A fact carries what bounded labels cannot: keys, users, hashes. None of it becomes a label.
"""

from array import array
from enum import StrEnum
from sys import getsizeof
from typing import NamedTuple

import msgspec

from rollbackd.model.labels import Labels, Scope
from rollbackd.model.pins import Pins


class Fact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What all facts have: whom they are about, and when it was so."""

    scope: Scope
    time_ms: int
    #: The arm as the server saw it; empty where it did not say.
    arm: str = ""


class AnswerServed(Fact, frozen=True, kw_only=True, gc=False):
    """One answer to one user (requirements W8, W9, F3)."""

    pins: Pins
    #: Who got it, as an opaque id that stays the same; empty where nobody knows.
    user: str = ""
    #: The arm that the client says it was on; never believed, only compared.
    claimed_arm: str = ""


class CacheRead(Fact, frozen=True, kw_only=True, gc=False):
    """One read of an answer cache (requirements W8, A2)."""

    hit: bool
    #: Pins in force at the reader.
    pins: Pins
    #: Pins that the entry, or its key, was made with; a name that the key lacks is absent.
    entry_pins: Pins
    #: The namespace of the key, as the `cache` control gives it; empty where it is not said.
    namespace: str = ""
    #: The entry was written by shadow traffic.
    shadow: bool = False


class EffectStatus(StrEnum):
    """What became of a side effect."""

    #: Begun; nobody knows yet.
    PENDING = "pending"
    #: Applied once, with its result kept.
    SEALED = "sealed"
    #: Not applied.
    FAILED = "failed"
    #: Applied or not: the process that knew is gone.
    UNKNOWN = "unknown"


class EffectReceipt(Fact, frozen=True, kw_only=True, gc=False):
    """The stored result of one side effect under its idempotency key (requirements 3.5, D4)."""

    key: str
    #: The effect at the system that it was applied to; one key has one.
    effect_id: str = ""
    status: EffectStatus = EffectStatus.SEALED
    #: Which kind of effect, e.g. `charge`.
    action: str = ""
    incident_id: str = ""


class DedupeDecision(StrEnum):
    """What a fence said about an idempotency key (requirements 3.4)."""

    NEW = "new"
    DUPLICATE = "duplicate"
    #: The key is known with another body.
    CONFLICT = "conflict"


class DedupeDecided(Fact, frozen=True, kw_only=True, gc=False):
    """A fence was asked about a key (requirements W10)."""

    key: str
    decision: DedupeDecision
    effect_id: str = ""


class ToolCalled(Fact, frozen=True, kw_only=True, gc=False):
    """One tool call of one request; the hashes tell alike calls apart (requirements W4)."""

    trace_id: str
    tool: str
    args_hash: str
    output_hash: str = ""


class RetrieverSeen(Fact, frozen=True, kw_only=True, gc=False):
    """A retriever said which index it reads (requirements W11)."""

    #: The process, e.g. its host name.
    reader: str
    #: `INDEX_HASH`, and what else of the index is pinned: `EMBED_DIM`, `metric`, `ANALYZER_CONF`.
    pins: Pins
    documents: int | None = None


class LambdaProbed(Fact, frozen=True, kw_only=True, gc=False):
    """One run of one paraphrase of a gold question (requirements W3, K4, K5)."""

    question: str
    seed: str
    paraphrase: str
    #: `convergent`, `divergent`, `recursive` or `chaotic`.
    state: str


class Retried(Fact, frozen=True, kw_only=True, gc=False):
    """What one client did about refusals in one window (requirements W6)."""

    requests: int
    throttled: int
    #: Retries, and those of them that waited as long as `Retry-After` asked.
    retries: int = 0
    adhered: int = 0


class Vectors(NamedTuple):
    """Embeddings of what was asked and retrieved, in single precision and all of one length."""

    question: "array[float]"
    context: "array[float]"
    anchor: "array[float] | None" = None


class Scorable(Fact, frozen=True, kw_only=True, gc=False):
    """What was asked and what was retrieved for it, for a scorer (requirements O2).

    Texts, or their embeddings where the sender has them. Neither is ever shown.
    """

    #: Of the series that its scores are written to, the name aside: those of the event's values.
    labels: Labels
    question: str = ""
    context: str = ""
    #: What should have been retrieved; of gold questions only.
    anchor: str = ""
    vectors: Vectors | None = None

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits, about."""
        if self.vectors is not None:
            return sum(getsizeof(vector) for vector in self.vectors if vector is not None)
        return getsizeof(self.question) + getsizeof(self.context) + getsizeof(self.anchor)

    def __repr__(self) -> str:
        return f"Scorable({self.scope}, {self.time_ms}, {self.size} bytes)"


AnyFact = (
    AnswerServed
    | CacheRead
    | EffectReceipt
    | DedupeDecided
    | ToolCalled
    | RetrieverSeen
    | LambdaProbed
    | Retried
    | Scorable
)


class ChangeKind(StrEnum):
    """What was changed."""

    DEPLOY = "deploy"
    FLAG = "flag"
    INDEX = "index"
    PROMPT = "prompt"
    CONFIG = "config"


class ChangeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody changed something about a service: what a trigger is likely to be about."""

    scope: Scope
    kind: ChangeKind
    #: What was changed, e.g. the deployment or flag.
    subject: str
    time_ms: int
    #: From and to which version, as text; empty where it is not said.
    before: str = ""
    after: str = ""
    by: str = ""
    link: str = ""

    def __str__(self) -> str:
        moved = f" {self.before} -> {self.after}".replace("  ", " ") if self.after else ""
        by = f" by {self.by}" if self.by else ""
        return f"{self.kind} `{self.subject}`{moved}{by}"
