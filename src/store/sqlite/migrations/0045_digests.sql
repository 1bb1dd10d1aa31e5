-- Digests (src/store/digests): when each digest of an account is due, and from when on its messages were not reported yet.
CREATE TABLE digest_timers (
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    due_ms     INTEGER NOT NULL,
    since_ms   INTEGER NOT NULL,
    missed_ms  INTEGER,
    PRIMARY KEY (account_id, name)
) STRICT;
CREATE INDEX digest_timers_due ON digest_timers (due_ms);

-- A run is a message of the kind digest. report_json is what it says besides its messages.
CREATE TABLE digests (
    message_id  BLOB PRIMARY KEY NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    account_id  BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    from_ms     INTEGER NOT NULL,
    to_ms       INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    items       INTEGER NOT NULL,
    report_json TEXT NOT NULL
) STRICT;
CREATE INDEX digests_by_account ON digests (account_id, at_ms, message_id);

-- The messages that a run reports; is_waiting: those that go with it alone.
CREATE TABLE digest_items (
    digest_id  BLOB NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    message_id BLOB NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    revision   INTEGER NOT NULL,
    name       TEXT NOT NULL,
    is_waiting INTEGER NOT NULL,
    PRIMARY KEY (digest_id, message_id)
) STRICT;
CREATE UNIQUE INDEX digest_items_once ON digest_items (message_id, name, revision);

-- The digest for which a message waits instead of a mail of its own.
ALTER TABLE dispatches ADD COLUMN digest TEXT;
