"""`pins:` of the config file: what is measured of a known good set, and when one is recorded."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rollbackd.settings.structs import Duration

_Name = Annotated[
    str, Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=200, examples=["latency_seconds"])
]


class RatioSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A ratio of counts of samples: `baseline:<name>:ratio`, with `among` as its count."""

    name: _Name
    #: Selectors, e.g. `requests{code=~"5.."}` among `requests`.
    of: Annotated[str, Meta(min_length=1)]
    among: Annotated[str, Meta(min_length=1)]


class WindowedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of which one sample sums up many requests: its mean and count are measured."""

    name: _Name
    #: With fewer it is left out, and named.
    min_samples: Annotated[int, Meta(ge=1)] = 8


class AutoPinSettings(
    msgspec.Struct, frozen=True, kw_only=True, rename={"after_ms": "after", "status": "as"}
):
    """When the daemon records a set by itself."""

    #: So long everything has to be as it should be, without a gap.
    after_ms: Duration = 1_800_000
    #: The share of the weight from which one arm counts as having all of it.
    full_weight: Annotated[float, Meta(gt=0.5, le=1)] = 1.0
    #: Exit targets that have to be green; none means all of the tree.
    targets: list[str] = []
    status: Literal["good", "candidate"] = "good"


class PinSettings(msgspec.Struct, frozen=True, kw_only=True, rename={"window_ms": "window"}):
    """What a baseline is measured from, and how."""

    #: So much of the measured series is kept in memory, and read again after a restart.
    window_ms: Duration = 300_000
    #: A statistic over fewer samples is refused.
    min_samples: Annotated[int, Meta(ge=1)] = 200
    metrics: tuple[_Name, ...] = ("delta_s", "coverage", "latency_seconds", "tokens")
    windowed: tuple[WindowedSettings, ...] = (WindowedSettings(name="cost_per_solved_query"),)
    ratios: tuple[RatioSettings, ...] = (
        RatioSettings(name="errors", of='requests{code=~"5.."}', among="requests"),
    )
    #: None: nothing is recorded unless somebody asks for it.
    auto: AutoPinSettings | None = None

    def at_least(self, metric: str) -> int:
        """How many samples a statistic of a metric or a ratio needs."""
        windowed = {each.name: each.min_samples for each in self.windowed}
        return windowed.get(metric, self.min_samples)
