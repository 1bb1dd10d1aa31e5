-- When a contact is absent, and who receives messages meanwhile (src/route/world.rs).
ALTER TABLE contacts ADD COLUMN absent_from_ms INTEGER;
ALTER TABLE contacts ADD COLUMN absent_until_ms INTEGER;
ALTER TABLE contacts ADD COLUMN deputy_id BLOB;
ALTER TABLE contacts ADD COLUMN days_off_json TEXT NOT NULL DEFAULT '[]';

-- What the routes of all daemons need and only the configuration has: the installation's time zone.
CREATE TABLE route_settings (
    name  TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT;

-- The documents of routes (src/route/document.rs), every version. Without an account: for all accounts without one of their own.
CREATE TABLE routes (
    account_id BLOB REFERENCES accounts (id) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    body       TEXT NOT NULL,
    by_id      BLOB,
    by_name    TEXT NOT NULL,
    at_ms      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX routes_once ON routes (coalesce(account_id, x'00'), version);

-- The running route of a revision of a message (src/route/dispatch.rs).
CREATE TABLE dispatches (
    message_id BLOB NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    revision   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    body_json  TEXT NOT NULL,
    due_ms     INTEGER,
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (message_id, revision)
) STRICT;
CREATE INDEX dispatches_due ON dispatches (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX dispatches_over ON dispatches (changed_ms) WHERE state <> 'running';

-- Which recipient of the dispatch a delivery is for.
ALTER TABLE deliveries ADD COLUMN asked INTEGER;

-- What a message shows of its dispatch.
ALTER TABLE messages ADD COLUMN route_name TEXT;
ALTER TABLE messages ADD COLUMN route_step INTEGER;
ALTER TABLE messages ADD COLUMN route_state TEXT;
ALTER TABLE messages ADD COLUMN route_next_ms INTEGER;

-- Calls that operators make about messages (src/contract/task.rs).
CREATE TABLE tasks (
    id              BLOB PRIMARY KEY NOT NULL,
    account_id      BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    message_id      BLOB NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    revision        INTEGER NOT NULL,
    asked           INTEGER,
    contact_id      BLOB,
    name            TEXT NOT NULL,
    number          TEXT NOT NULL,
    urgency         INTEGER NOT NULL,
    due_ms          INTEGER NOT NULL,
    is_over         INTEGER NOT NULL DEFAULT 0,
    state           TEXT NOT NULL CHECK (state IN ('open', 'claimed', 'done', 'failed', 'cancelled')),
    claimed_by      BLOB,
    claimed_by_name TEXT,
    lease_ms        INTEGER,
    attempts        INTEGER NOT NULL DEFAULT 0,
    result          TEXT,
    note            TEXT,
    version         INTEGER NOT NULL DEFAULT 1,
    created_ms      INTEGER NOT NULL,
    changed_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX tasks_due ON tasks (due_ms, id) WHERE state IN ('open', 'claimed');
CREATE INDEX tasks_leased ON tasks (lease_ms) WHERE state = 'claimed';
CREATE INDEX tasks_by_message ON tasks (message_id);
CREATE INDEX tasks_by_account ON tasks (account_id);
CREATE INDEX tasks_by_time ON tasks (created_ms, id);

-- Events about messages that wait for the message relay.
CREATE TABLE message_notices (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id BLOB NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    pbx        TEXT NOT NULL,
    taken_by   BLOB,
    kind       TEXT NOT NULL,
    data_json  TEXT NOT NULL,
    at_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX message_notices_by_message ON message_notices (message_id);
CREATE INDEX message_notices_by_pbx ON message_notices (pbx, position);
