"""What the levers on flag providers share: tokens sent bare, and what SDKs are told."""

from urllib.parse import quote

from rollbackd.connections.http import HttpApi
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.reading import decoded, not_seen_yet
from rollbackd.model.levers import Target
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.secrets import Secret


class BareTokenApi(HttpApi):
    """An API that wants its token in `Authorization` as it is, without `Bearer`."""

    def authorization(self, secret: Secret | None) -> dict[str, str]:
        """The token and nothing else."""
        return {} if secret is None else {"Authorization": secret.reveal()}


class SdkSide:
    """What SDKs are told of one flag, asked as they ask: `GET <prefix>/<flag>`.

    `switch` is the field of the answer that says whether the flag is on.
    """

    def __init__(self, endpoint: HttpEndpoint, *, prefix: str, switch: str) -> None:
        self._api = BareTokenApi(endpoint)
        self._prefix = prefix
        self._switch = switch

    async def unknown(self, target: Target) -> str:
        """An objection when it was never told of the flag; one that is away holds nothing up."""
        try:
            known = await self._told(target) is not None
        except TemporaryError:
            return ""
        except PermanentError as error:
            return str(error)
        if known:
            return ""
        return f"{target} is not known to its reader: is the key of another project or environment?"

    async def check(self, target: Target, wanted: object) -> None:
        """Raise TemporaryError while SDKs are told something else."""
        told = await self._told(target)
        if told is not wanted:
            said = "nothing" if told is None else f"`{self._switch}: {str(told).lower()}`"
            raise not_seen_yet(target, f"SDKs are told {said}")

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _told(self, target: Target) -> bool | None:
        path = f"{self._prefix}/{quote(target.name, safe='')}"
        answer = await self._api.call("GET", path, allowed=(404,))
        if answer.status == 404:
            return None
        found = decoded(answer, dict[str, object], f"{target}: the reader").get(self._switch)
        if not isinstance(found, bool):
            raise PermanentError(f"{target}: the reader does not say whether it is on")
        return found
