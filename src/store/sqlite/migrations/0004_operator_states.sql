-- How each operator was left, so that a restart of the daemon changes nobody's state.
CREATE TABLE operator_states (
    user_id    BLOB PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    changed_ms INTEGER NOT NULL,
    saved_json TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every change of a state: who, when, why. A state lasts until the same person's next row; figures of occupancy are
-- sums of that.
CREATE TABLE operator_history (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    BLOB NOT NULL,
    version    INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    name       TEXT NOT NULL,
    extension  TEXT,
    state      TEXT NOT NULL,
    reason     TEXT,
    pending    TEXT,
    call_id    BLOB,
    actor      TEXT NOT NULL CHECK (actor IN ('person', 'call', 'clock', 'daemon')),
    actor_id   BLOB,
    actor_name TEXT,
    session_id BLOB,
    desktop    TEXT,
    UNIQUE (user_id, version, at_ms)
) STRICT;
CREATE INDEX operator_history_by_time ON operator_history (user_id, at_ms);

-- After-call work, once it is over. A disposition may come later.
CREATE TABLE wrap_ups (
    call_id         BLOB NOT NULL,
    user_id         BLOB NOT NULL,
    since_ms        INTEGER NOT NULL,
    ended_ms        INTEGER NOT NULL,
    account_id      BLOB,
    account         TEXT NOT NULL DEFAULT '',
    planned_s       INTEGER NOT NULL,
    extensions_json TEXT NOT NULL DEFAULT '[]',
    disposition     TEXT,
    notes           TEXT,
    PRIMARY KEY (call_id, user_id, since_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX wrap_ups_by_time ON wrap_ups (ended_ms);
