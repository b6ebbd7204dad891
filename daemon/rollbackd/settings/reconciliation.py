"""How receipts are kept, and where the effects downstream are listed, as values with defaults."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.structs import Duration


class ListingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One system downstream that lists the effects which it holds: over HTTP, or in a file."""

    name: Annotated[str, Meta(description="Names it in metrics, logs and reports.", min_length=1)]
    services: Annotated[
        list[str],
        Meta(description="Services that it is asked about: names, or patterns such as `pay-*`."),
    ]
    http: Annotated[
        HttpEndpoint | None, Meta(description="Asked with `GET URL?scope=...&from=...&to=...`.")
    ] = None
    file: Annotated[
        Path | None, Meta(description="Written by an export: `.json`, `.ndjson` or `.csv`.")
    ] = None
    max_effects: Annotated[
        int, Meta(description="More than so many are refused, never cut off.", ge=1, le=1_000_000)
    ] = 100_000

    def __post_init__(self) -> None:
        if (self.http is None) == (self.file is None):
            raise ValueError("a listing has exactly one of `http` and `file`")
        if not self.services:
            raise ValueError("`services` names no service; `['*']` names all")

    def is_for(self, service: str) -> bool:
        """Whether it is asked about a service."""
        return any(fnmatchcase(service, pattern) for pattern in self.services)


class KeepSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long receipts are kept, and of how many keys of one scope."""

    age: Annotated[Duration, Meta(description="Since they were heard of last.")] = 14 * 86_400_000
    keys: Annotated[
        int, Meta(description="Of one scope; beyond it the oldest are dropped.", ge=1)
    ] = 200_000


class ReconciliationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Receipts and what they are compared with. The first listing that fits a service is asked."""

    listings: list[ListingSettings] = []
    keep: KeepSettings = KeepSettings()
    lookback: Annotated[
        Duration, Meta(description="The window begins so long before the first trigger.")
    ] = 900_000
    settle: Annotated[
        Duration, Meta(description="What was touched more recently is not judged yet.")
    ] = 15_000
    timeout: Annotated[
        Duration, Meta(description="For one comparison, with the wait until it has settled.")
    ] = 45_000

    def __post_init__(self) -> None:
        names = [listing.name for listing in self.listings]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two listings have the name `{repeated[0]}`")
        if self.timeout <= self.settle:
            raise ValueError("`timeout` must be above `settle`, or nothing fresh is ever judged")

    def listing_of(self, service: str) -> ListingSettings | None:
        """The listing that is asked about a service."""
        return next((each for each in self.listings if each.is_for(service)), None)
