-- Digests (src/store/digests): when each digest of an account is due, and from when on its messages were not reported yet.
CREATE TABLE digest_timers (
    account_id UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    due_ms     BIGINT NOT NULL,
    since_ms   BIGINT NOT NULL,
    missed_ms  BIGINT,
    PRIMARY KEY (account_id, name)
);
CREATE INDEX digest_timers_due ON digest_timers (due_ms);

-- A run is a message of the kind digest. report_json is what it says besides its messages.
CREATE TABLE digests (
    message_id  UUID PRIMARY KEY NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    account_id  UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    from_ms     BIGINT NOT NULL,
    to_ms       BIGINT NOT NULL,
    at_ms       BIGINT NOT NULL,
    items       BIGINT NOT NULL,
    report_json TEXT NOT NULL
);
CREATE INDEX digests_by_account ON digests (account_id, at_ms, message_id);

-- The messages that a run reports; is_waiting: those that go with it alone.
CREATE TABLE digest_items (
    digest_id  UUID NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    message_id UUID NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    revision   BIGINT NOT NULL,
    name       TEXT NOT NULL,
    is_waiting BOOLEAN NOT NULL,
    PRIMARY KEY (digest_id, message_id)
);
CREATE UNIQUE INDEX digest_items_once ON digest_items (message_id, name, revision);

-- The digest for which a message waits instead of a mail of its own.
ALTER TABLE dispatches ADD COLUMN digest TEXT;
