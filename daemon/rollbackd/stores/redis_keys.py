"""The keys of the store in Redis.

rollbackd:{service/region}:incident:<id>   HASH version, state, body, act (JSON, in short)
rollbackd:{service/region}:open            STRING, id of the scope's open incident
rollbackd:{service/region}:journal:<id>    LIST of records (JSON), oldest first
rollbackd:{service/region}:epoch           STRING, the last epoch that was granted
rollbackd:{service/region}:known_good      HASH id, body (JSON) of the set in force
rollbackd:{service/region}:known_good_sets HASH id -> set (JSON), at most 100
rollbackd:{service/region}:known_good_order ZSET of their ids by recorded_at_ms
rollbackd:{service/region}:known_good_good ZSET of the ids of good ones by since when
rollbackd:{service/region}:known_good_keys HASH key of the request -> id
rollbackd:{store}:known_good_scopes        HASH id -> scope
rollbackd:{store}:scopes                   SET of scopes with incidents or a known good set
rollbackd:{store}:incidents                ZSET of incident ids by opened_at_ms
rollbackd:{store}:incident_scopes          HASH incident id -> scope
rollbackd:{store}:acts                     ZSET of ids opened to act by their end; +inf: open
rollbackd:{store}:trips                    ZSET of `scope rule` by when it tripped last
rollbackd:{store}:latches                  HASH `scope branch` -> latch (JSON)
rollbackd:{store}:pause                    STRING (JSON), while paused
rollbackd:{store}:rule_states              HASH key -> rule instance (JSON)
rollbackd:{store}:rule_states_seen         ZSET of their keys by seen_at_ms
rollbackd:{store}:changes                  HASH `scope kind` -> newest change (JSON)
rollbackd:{store}:changes_made             ZSET of their keys by time_ms
rollbackd:{store}:dead_letters             LIST (JSON), newest first, at most 1,000
rollbackd:{store}:inbox:entries            HASH key -> entry (JSON)
rollbackd:{store}:inbox:pending            ZSET of unhandled keys by order of arrival
rollbackd:{store}:inbox:latest             HASH fingerprint -> key of its newest entry
rollbackd:{store}:inbox:firing             SET of fingerprints whose newest entry fires
rollbackd:{store}:inbox:prunable           ZSET `key fingerprint` by received_at_ms
rollbackd:{store}:inbox:sequence           STRING, counts arrivals
rollbackd:waits                            STRING, counts waits for replicas
"""

from typing import Final

from rollbackd.model.incidents import Incident
from rollbackd.model.labels import Scope

SCOPES: Final = "rollbackd:{store}:scopes"
INCIDENTS: Final = "rollbackd:{store}:incidents"
INCIDENT_SCOPES: Final = "rollbackd:{store}:incident_scopes"
ACTS: Final = "rollbackd:{store}:acts"
TRIPS: Final = "rollbackd:{store}:trips"
KNOWN_GOOD_SCOPES: Final = "rollbackd:{store}:known_good_scopes"
LATCHES: Final = "rollbackd:{store}:latches"
PAUSE: Final = "rollbackd:{store}:pause"
RULE_STATES: Final = "rollbackd:{store}:rule_states"
RULE_STATES_SEEN: Final = "rollbackd:{store}:rule_states_seen"
CHANGES: Final = "rollbackd:{store}:changes"
CHANGES_MADE: Final = "rollbackd:{store}:changes_made"
LETTERS: Final = "rollbackd:{store}:dead_letters"
ENTRIES: Final = "rollbackd:{store}:inbox:entries"
PENDING: Final = "rollbackd:{store}:inbox:pending"
LATEST: Final = "rollbackd:{store}:inbox:latest"
FIRING: Final = "rollbackd:{store}:inbox:firing"
PRUNABLE: Final = "rollbackd:{store}:inbox:prunable"
SEQUENCE: Final = "rollbackd:{store}:inbox:sequence"


def of_scope(scope: Scope | str, part: str) -> str:
    """A key that lies with the scope's others."""
    return f"rollbackd:{{{scope}}}:{part}"


def of_known_good(scope: Scope) -> tuple[str, str, str, str, str]:
    """The keys that the script about known good sets touches."""
    return (
        of_scope(scope, "known_good_sets"),
        of_scope(scope, "known_good_order"),
        of_scope(scope, "known_good_good"),
        of_scope(scope, "known_good"),
        of_scope(scope, "known_good_keys"),
    )


def of_incident(incident: Incident) -> tuple[str, str, str]:
    """The keys that the scripts about one incident touch."""
    return (
        of_scope(incident.scope, f"incident:{incident.id}"),
        of_scope(incident.scope, "open"),
        of_scope(incident.scope, f"journal:{incident.id}"),
    )
