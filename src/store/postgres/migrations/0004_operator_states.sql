-- How each operator was left, so that a restart of the daemon changes nobody's state.
CREATE TABLE operator_states (
    user_id    UUID PRIMARY KEY NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    changed_ms BIGINT NOT NULL,
    saved_json TEXT NOT NULL
);

-- Every change of a state: who, when, why. A state lasts until the same person's next row; figures of occupancy are
-- sums of that.
CREATE TABLE operator_history (
    position   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    UUID NOT NULL,
    version    BIGINT NOT NULL,
    at_ms      BIGINT NOT NULL,
    name       TEXT NOT NULL,
    extension  TEXT,
    state      TEXT NOT NULL,
    reason     TEXT,
    pending    TEXT,
    call_id    UUID,
    actor      TEXT NOT NULL CHECK (actor IN ('person', 'call', 'clock', 'daemon')),
    actor_id   UUID,
    actor_name TEXT,
    session_id UUID,
    desktop    TEXT,
    UNIQUE (user_id, version, at_ms)
);
CREATE INDEX operator_history_by_time ON operator_history (user_id, at_ms);

-- After-call work, once it is over. A disposition may come later.
CREATE TABLE wrap_ups (
    call_id         UUID NOT NULL,
    user_id         UUID NOT NULL,
    since_ms        BIGINT NOT NULL,
    ended_ms        BIGINT NOT NULL,
    account_id      UUID,
    account         TEXT NOT NULL DEFAULT '',
    planned_s       BIGINT NOT NULL,
    extensions_json TEXT NOT NULL DEFAULT '[]',
    disposition     TEXT,
    notes           TEXT,
    PRIMARY KEY (call_id, user_id, since_ms)
);
CREATE INDEX wrap_ups_by_time ON wrap_ups (ended_ms);
