"""A listing over HTTP: `GET URL?scope=...&from=...&to=...`, page by page."""

from datetime import UTC, datetime
from typing import Final

from rollbackd.connections.http import HttpApi
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import DownstreamEffect, DownstreamPage
from rollbackd.reconciliation.formats import ListingError, effects_of, read_json, read_lines
from rollbackd.settings.reconciliation import ListingSettings

_LINES: Final = ("application/x-ndjson", "application/jsonl", "application/ndjson")
_ACCEPT: Final = "application/json, application/x-ndjson"


class HttpListing:
    """Implements `ports.Listing`. A page is bounded in time and size by `connections.http`."""

    def __init__(self, settings: ListingSettings) -> None:
        assert settings.http is not None
        self._settings = settings
        self._api = HttpApi(settings.http, headers={"Accept": _ACCEPT})

    async def effects(self, scope: Scope, from_ms: int, to_ms: int) -> DownstreamPage:
        """See `ports.Listing`."""
        asked = {"scope": str(scope), "from": _rfc3339(from_ms), "to": _rfc3339(to_ms)}
        found: list[DownstreamEffect] = []
        seen = {""}
        following = ""
        while True:
            page, following = await self._page(scope, asked, following)
            found += page
            if len(found) > self._settings.max_effects:
                raise ListingError(
                    f"listing `{self._settings.name}` has more than"
                    f" {self._settings.max_effects} effects in this time; raise `max_effects`"
                )
            if not following:
                return DownstreamPage(effects=found)
            if following in seen:
                raise ListingError(
                    f"listing `{self._settings.name}`: `next` leads back to a page that was read"
                )
            seen.add(following)

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._api.close()

    async def _page(
        self, scope: Scope, asked: dict[str, str], following: str
    ) -> tuple[list[DownstreamEffect], str]:
        params = {**asked, "next": following} if following else asked
        answer = await self._api.call("GET", "", params=params)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        read = read_lines if kind in _LINES else read_json
        items = read(answer.body, where=f"listing `{self._settings.name}`")
        return effects_of(items, scope), items.following


def _rfc3339(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
