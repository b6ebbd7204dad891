"""The tables of the SQLite store, version by version; a released version is never edited."""

from typing import Final

MIGRATIONS: Final = (
    (
        # latest: the newest of its fingerprint. An alert that turns again moves to the end.
        """
        CREATE TABLE inbox (
          key TEXT PRIMARY KEY,
          sequence INTEGER NOT NULL,
          fingerprint TEXT NOT NULL,
          firing INTEGER NOT NULL,
          latest INTEGER NOT NULL,
          handled INTEGER NOT NULL,
          received_at_ms INTEGER NOT NULL,
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE UNIQUE INDEX inbox_sequence ON inbox (sequence)",
        "CREATE UNIQUE INDEX inbox_latest ON inbox (fingerprint) WHERE latest = 1",
        "CREATE INDEX inbox_unhandled ON inbox (sequence) WHERE handled = 0",
        """
        CREATE INDEX inbox_prunable ON inbox (received_at_ms)
          WHERE handled = 1 AND (latest = 0 OR firing = 0)
        """,
        """
        CREATE TABLE incidents (
          id TEXT PRIMARY KEY,
          scope TEXT NOT NULL,
          open INTEGER NOT NULL,
          version INTEGER NOT NULL,
          opened_at_ms INTEGER NOT NULL,
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE UNIQUE INDEX incidents_open ON incidents (scope) WHERE open = 1",
        "CREATE INDEX incidents_by_age ON incidents (opened_at_ms)",
        """
        CREATE TABLE journal (
          position INTEGER PRIMARY KEY,
          incident_id TEXT NOT NULL REFERENCES incidents (id),
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE INDEX journal_by_incident ON journal (incident_id, position)",
        "CREATE TABLE epochs (scope TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT",
        """
        CREATE TABLE known_good (
          scope TEXT PRIMARY KEY,
          recorded_at_ms INTEGER NOT NULL,
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE TABLE pause (only INTEGER PRIMARY KEY CHECK (only = 1), body BLOB NOT NULL) STRICT",
        "CREATE TABLE dead_letters (position INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT",
    ),
    (
        """
        CREATE TABLE rule_states (
          key TEXT PRIMARY KEY,
          seen_at_ms INTEGER NOT NULL,
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE INDEX rule_states_by_age ON rule_states (seen_at_ms)",
    ),
    (
        "ALTER TABLE incidents ADD COLUMN state TEXT NOT NULL DEFAULT ''",
        "UPDATE incidents SET state = json_extract(CAST(body AS TEXT), '$.state')",
        # act: in short, for the guardrails; null for what only observed.
        "ALTER TABLE incidents ADD COLUMN act BLOB",
        # Far in the future while it is open.
        "ALTER TABLE incidents ADD COLUMN ended_at_ms INTEGER",
        "CREATE INDEX acts_by_end ON incidents (ended_at_ms) WHERE act IS NOT NULL",
        """
        CREATE TABLE trips (
          scope TEXT NOT NULL,
          rule TEXT NOT NULL,
          at_ms INTEGER NOT NULL,
          PRIMARY KEY (scope, rule)
        ) STRICT
        """,
        "CREATE INDEX trips_by_age ON trips (at_ms)",
        """
        CREATE TABLE latches (
          scope TEXT NOT NULL,
          branch TEXT NOT NULL,
          body BLOB NOT NULL,
          PRIMARY KEY (scope, branch)
        ) STRICT
        """,
        "CREATE TABLE scopes (scope TEXT PRIMARY KEY) STRICT",
        "INSERT INTO scopes SELECT scope FROM known_good UNION SELECT scope FROM incidents",
    ),
    (
        "DROP TABLE known_good",
        # good_since_ms: null where it does not count as good.
        """
        CREATE TABLE known_good_sets (
          id TEXT PRIMARY KEY,
          scope TEXT NOT NULL,
          recorded_at_ms INTEGER NOT NULL,
          good_since_ms INTEGER,
          key TEXT NOT NULL,
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE INDEX known_good_by_age ON known_good_sets (scope, recorded_at_ms)",
        """
        CREATE INDEX known_good_in_force ON known_good_sets (scope, good_since_ms)
          WHERE good_since_ms IS NOT NULL
        """,
        "CREATE UNIQUE INDEX known_good_keys ON known_good_sets (scope, key) WHERE key != ''",
    ),
    (
        # key: of scope and kind, whose newest this is.
        """
        CREATE TABLE changes (
          key TEXT PRIMARY KEY,
          time_ms INTEGER NOT NULL,
          body BLOB NOT NULL
        ) STRICT
        """,
        "CREATE INDEX changes_by_age ON changes (time_ms)",
    ),
)
