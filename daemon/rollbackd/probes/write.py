"""A probe write over HTTP, which a service that obeys the freeze has to refuse."""

from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from rollbackd.model.incidents import Confirmation, Incident
from rollbackd.settings import read_secret

_NAME: Final = "write"
_HEADER: Final = "X-Rollbackd-Probe"


class _Params(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    method: str = "POST"
    body: str = ""
    token_file: str = ""
    refused_with: tuple[int, ...] = (423, 503)


class WriteProbe:
    """Confirmed by an answer that refuses the write; everything else confirms nothing.

    The request carries `X-Rollbackd-Probe` and an `Idempotency-Key` that are the same for every
    try of one incident: a service that lets it pass all the same applies it once.
    """

    async def ask(self, incident: Incident, params: dict[str, object]) -> Confirmation:
        """Send the write once. Raises aiohttp.ClientError as an OSError or not at all."""
        probe = msgspec.convert(params, _Params)
        try:
            status = await _send(incident, probe)
        except aiohttp.ClientError as error:
            # its text may hold the whole address
            return Confirmation(probe=_NAME, confirmed=False, detail=type(error).__name__)
        if status in probe.refused_with:
            return Confirmation(probe=_NAME, confirmed=True, detail=f"refused with {status}")
        return Confirmation(probe=_NAME, confirmed=False, detail=_because(status, probe))


async def _send(incident: Incident, probe: _Params) -> int:
    key = f"{incident.id}:freeze-probe"
    headers = {_HEADER: incident.id, "Idempotency-Key": key}
    if probe.body:
        headers["Content-Type"] = "application/json"
    token = read_secret(Path(probe.token_file)) if probe.token_file else None
    if token is not None:
        headers["Authorization"] = f"Bearer {token.reveal()}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            probe.method,
            probe.url,
            data=probe.body.encode() or None,
            headers=headers,
            allow_redirects=False,
        ) as response,
    ):
        return response.status


def _because(status: int, probe: _Params) -> str:
    if status // 100 == 2:  # RFC 9110, 15.3: successful
        return f"writers are not frozen: the write was taken with {status}"
    refusals = " or ".join(str(each) for each in probe.refused_with)
    return f"answered {status}, which is no refusal; that would be {refusals}"
