"""A listing in a file that an export writes: JSON, NDJSON or CSV by its ending.

The export has to put a whole file in place by renaming it. The file is whole until it was written
(its modification time): what came later cannot be in it.
"""

import asyncio
from pathlib import Path
from typing import Final

from rollbackd.errors import TemporaryError
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import DownstreamPage
from rollbackd.reconciliation.formats import ListingError, effects_of, read_file

_MOST_BYTES: Final = 256 << 20


class FileListing:
    """Implements `ports.Listing`."""

    def __init__(self, path: Path, *, max_effects: int) -> None:
        self._path = path
        self._max_effects = max_effects

    async def effects(self, scope: Scope, from_ms: int, to_ms: int) -> DownstreamPage:  # noqa: ARG002  # the file is of the time that it is of
        """See `ports.Listing`."""
        return await asyncio.to_thread(self._read, scope)

    async def close(self) -> None:
        """Nothing is kept open."""

    def _read(self, scope: Scope) -> DownstreamPage:
        try:
            with self._path.open("rb") as file:
                written_ms = int(self._path.stat().st_mtime * 1_000)
                body = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise TemporaryError(f"{self._path}: {error.strerror}") from None
        if len(body) > _MOST_BYTES:
            raise ListingError(f"{self._path}: larger than {_MOST_BYTES >> 20} MiB")
        effects = effects_of(read_file(body, self._path), scope)
        if len(effects) > self._max_effects:
            raise ListingError(
                f"{self._path}: more than {self._max_effects} effects; raise `max_effects`"
            )
        return DownstreamPage(effects=effects, until_ms=written_ms)
