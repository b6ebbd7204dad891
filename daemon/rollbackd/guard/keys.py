"""The keys of one scope in Redis: what rollbackd writes, and what guards write.

    rollbackd:{service/region}:control:<name>        HASH, one control; written by rollbackd
    rollbackd:{service/region}:controls              SET, names of the scope's controls
    rollbackd:{service/region}:changed               channel, the name of a control that has changed
    rollbackd:{service/region}:guard:readers         HASH, reader -> acknowledgement as JSON
    rollbackd:{service/region}:guard:seen            ZSET, reader by the time of its last read in ms
    rollbackd:{service/region}:guard:effect:<key>    HASH, the fence of one effect
    rollbackd:{service/region}:guard:effects         ZSET, effects that are not sealed, by lease end
    rollbackd:{service/region}:guard:bucket[:<hash>] HASH, token bucket: global, or of one tenant
    rollbackd:{service/region}:guard:load:<key>      STRING, the token of who loads a cache entry
    rollbackd:{service/region}:guard:entry:<key>     STRING, a cache entry

The braces are a Redis Cluster hash tag: all keys of a scope live together, so that a script may
touch several of them.
"""

import re
from typing import Final

_PART: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,128}\Z")


class ScopeKeys:
    """Names the keys of one scope, `service/region`. Raises ValueError for what is no scope."""

    def __init__(self, scope: str) -> None:
        service, slash, region = scope.partition("/")
        region = region if slash else "global"
        for part in (service, region):
            if not _PART.match(part):
                raise ValueError(
                    f"`{scope[:300]}` is not a scope; write it as `service/region`, each of"
                    " 1 to 128 of A-Z a-z 0-9 . _ -"
                )
        self.scope = f"{service}/{region}"
        self._prefix = f"rollbackd:{{{self.scope}}}:"
        self.controls = f"{self._prefix}controls"
        self.changed = f"{self._prefix}changed"
        self.readers = f"{self._prefix}guard:readers"
        self.seen = f"{self._prefix}guard:seen"
        self.effects = f"{self._prefix}guard:effects"
        self.bucket = f"{self._prefix}guard:bucket"

    def control(self, name: str) -> str:
        """One control, `kind` or `kind:name`."""
        return f"{self._prefix}control:{name}"

    def effect(self, key: str) -> str:
        """The fence of one effect."""
        return f"{self._prefix}guard:effect:{key}"

    def tenant_bucket(self, tenant_hash: str) -> str:
        """The token bucket of one tenant."""
        return f"{self.bucket}:{tenant_hash}"

    def load(self, key: str) -> str:
        """Who loads one cache entry."""
        return f"{self._prefix}guard:load:{key}"

    def entry(self, key: str) -> str:
        """One cache entry."""
        return f"{self._prefix}guard:entry:{key}"
