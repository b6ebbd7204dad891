"""`scoring:` of the config file: what computes dS for services that log texts only."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.structs import Duration

ScoredMetricName = Literal["delta_s", "delta_s_anchor"]


class ScoringSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who scores, how much of the traffic, and what may wait for it."""

    mode: Annotated[
        Literal["embedded", "http", "vectors"],
        Meta(description="A small model here, somebody else's over HTTP, or none."),
    ]
    http: Annotated[
        HttpEndpoint | None, Meta(description="Of `mode: http`: the URL that batches are sent to.")
    ] = None
    metrics: Annotated[
        tuple[ScoredMetricName, ...], Meta(description="The series that are written.", min_length=1)
    ] = ("delta_s", "delta_s_anchor")
    one_in: Annotated[
        int,
        Meta(description="Score one event in so many with the same labels.", ge=1, le=1_000_000),
    ] = 1
    batch: Annotated[int, Meta(description="Events that go together at most.", ge=1, le=1_000)] = 32
    wait: Annotated[Duration, Meta(description="A batch is not waited for longer.")] = 200
    queue: Annotated[int, Meta(description="Events that wait at most.", ge=1, le=1_000_000)] = (
        10_000
    )
    queue_bytes: Annotated[
        int, Meta(description="And what they take at most.", ge=1 << 20, le=1 << 34)
    ] = 64 << 20
    attempts: Annotated[
        int, Meta(description="How often a batch is sent before it is given up.", ge=1, le=10)
    ] = 3

    def __post_init__(self) -> None:
        if (self.mode == "http") != (self.http is not None):
            raise ValueError("`http` is of `mode: http`, and that needs it")
