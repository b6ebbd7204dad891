"""Bounds of the detectors, under `detectors:` in the config file."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from rollbackd.settings.structs import Duration

_LONGEST_STICKY_MS: Final = 97 * 86_400_000

Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Ratio = Annotated[float, Meta(ge=0, le=1)]


class DuplicateEffectsBounds(msgspec.Struct, frozen=True, kw_only=True):
    """One key, two effects."""

    #: Idempotency keys that are remembered, 12 bytes each.
    keys: Count = 2_000_000


class MixedVersionsBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Several versions within one arm."""

    #: Versions that answered within this time answer together.
    window_ms: Duration = msgspec.field(default=60_000, name="window")


class StickyBreaksBounds(msgspec.Struct, frozen=True, kw_only=True):
    """One user on two arms."""

    #: Users that are remembered, 15 bytes each.
    users: Count = 1_000_000
    #: A user who comes back later may be on another arm; at most 97 days.
    window_ms: Duration = msgspec.field(default=1_800_000, name="window")

    def __post_init__(self) -> None:
        """Times of users are kept in 24 bits of seconds, half of which tell what is late."""
        if self.window_ms > _LONGEST_STICKY_MS:
            raise ValueError("`window` must be at most `97d`")


class IndexMismatchBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Retrievers that read the wrong index."""

    #: Readers of one arm that are remembered.
    readers: Count = 1_000
    #: A reader that was not heard of for so long is gone.
    reader_ttl_ms: Duration = msgspec.field(default=120_000, name="reader_ttl")
    #: The share of documents that an index may lack of the one that is known good.
    missing_documents: Ratio = 0.01


class ToolLoopsBounds(msgspec.Struct, frozen=True, kw_only=True):
    """The same tool call with the same output."""

    #: Calls that are remembered, 20 bytes each.
    calls: Count = 200_000
    #: So often in a row is a loop.
    repeats: Annotated[int, Meta(ge=2, le=100)] = 3


class ThrottleStormsBounds(msgspec.Struct, frozen=True, kw_only=True):
    """429 that backoff does not calm."""

    #: Above this share of throttled requests it is a burst.
    limit: Ratio = 0.02
    #: At or under this share it is over.
    calm: Ratio = 0.01
    #: How long backoff is given.
    window_ms: Duration = msgspec.field(default=300_000, name="window")
    #: Requests a minute below which nothing is concluded.
    requests: Count = 200
    #: The share of retries that must have waited as `Retry-After` asked.
    adherence: Ratio = 0.5

    def __post_init__(self) -> None:
        """What ends a burst must not begin one."""
        if self.calm > self.limit:
            raise ValueError(f"`calm` is `{self.calm:g}`, above `limit`, which is `{self.limit:g}`")


class LambdaFlipsBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Probes whose paraphrases do not converge."""

    #: Paraphrases of one question and seed that make a group.
    paraphrases: Annotated[int, Meta(ge=2, le=100)] = 3
    #: Groups of one scope that may be incomplete at once.
    groups: Count = 10_000
    #: A group that is not complete after this is dropped.
    group_ttl_ms: Duration = msgspec.field(default=600_000, name="group_ttl")


class DetectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All of them."""

    #: Scopes that each detector remembers.
    scopes: Count = 2_000
    #: How long a flip of our own may take to reach everybody (K22).
    flip_propagation_ms: Duration = msgspec.field(default=120_000, name="flip_propagation")
    #: Changes that are remembered of a scope beside the newest of each kind.
    changes: Count = 100
    duplicate_effects: DuplicateEffectsBounds = DuplicateEffectsBounds()
    mixed_versions: MixedVersionsBounds = MixedVersionsBounds()
    sticky_breaks: StickyBreaksBounds = StickyBreaksBounds()
    index_mismatch: IndexMismatchBounds = IndexMismatchBounds()
    tool_loops: ToolLoopsBounds = ToolLoopsBounds()
    throttle_storms: ThrottleStormsBounds = ThrottleStormsBounds()
    lambda_flips: LambdaFlipsBounds = LambdaFlipsBounds()
