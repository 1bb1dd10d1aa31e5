-- A time in which a supervisor heard one operator's part of one call in one mode. What is open has no until_ms. No
-- reference to calls: a hearing is there before the record of its call is.
CREATE TABLE hearings (
    supervision_id  UUID NOT NULL,
    from_ms         BIGINT NOT NULL,
    until_ms        BIGINT,
    pbx             TEXT NOT NULL,
    call_id         UUID NOT NULL,
    operator        TEXT NOT NULL,
    supervisor_id   UUID NOT NULL,
    supervisor_name TEXT NOT NULL,
    extension       TEXT NOT NULL,
    mode            TEXT NOT NULL,
    reason          TEXT,
    ending          TEXT,
    audience_json   TEXT NOT NULL,
    PRIMARY KEY (supervision_id, from_ms)
);
CREATE INDEX hearings_by_call ON hearings (call_id, from_ms);
CREATE INDEX hearings_by_time ON hearings (from_ms);
CREATE INDEX hearings_open ON hearings (pbx) WHERE until_ms IS NULL;

-- For their deletion by age.
CREATE INDEX operator_history_by_age ON operator_history (at_ms);
