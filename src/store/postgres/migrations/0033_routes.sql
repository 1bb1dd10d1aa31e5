-- When a contact is absent, and who receives messages meanwhile (src/route/world.rs).
ALTER TABLE contacts ADD COLUMN absent_from_ms BIGINT;
ALTER TABLE contacts ADD COLUMN absent_until_ms BIGINT;
ALTER TABLE contacts ADD COLUMN deputy_id UUID;
ALTER TABLE contacts ADD COLUMN days_off_json TEXT NOT NULL DEFAULT '[]';

-- What the routes of all daemons need and only the configuration has: the installation's time zone.
CREATE TABLE route_settings (
    name  TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);

-- The documents of routes (src/route/document.rs), every version. Without an account: for all accounts without one of their own.
CREATE TABLE routes (
    account_id UUID REFERENCES accounts (id) ON DELETE CASCADE,
    version    BIGINT NOT NULL,
    body       TEXT NOT NULL,
    by_id      UUID,
    by_name    TEXT NOT NULL,
    at_ms      BIGINT NOT NULL
);
CREATE UNIQUE INDEX routes_once ON routes (coalesce(account_id, '00000000-0000-0000-0000-000000000000'::uuid), version);

-- The running route of a revision of a message (src/route/dispatch.rs).
CREATE TABLE dispatches (
    message_id UUID NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    revision   BIGINT NOT NULL,
    state      TEXT NOT NULL,
    body_json  TEXT NOT NULL,
    due_ms     BIGINT,
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (message_id, revision)
);
CREATE INDEX dispatches_due ON dispatches (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX dispatches_over ON dispatches (changed_ms) WHERE state <> 'running';

-- Which recipient of the dispatch a delivery is for.
ALTER TABLE deliveries ADD COLUMN asked BIGINT;

-- What a message shows of its dispatch.
ALTER TABLE messages ADD COLUMN route_name TEXT;
ALTER TABLE messages ADD COLUMN route_step BIGINT;
ALTER TABLE messages ADD COLUMN route_state TEXT;
ALTER TABLE messages ADD COLUMN route_next_ms BIGINT;

-- Calls that operators make about messages (src/contract/task.rs).
CREATE TABLE tasks (
    id              UUID PRIMARY KEY NOT NULL,
    account_id      UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    message_id      UUID NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    revision        BIGINT NOT NULL,
    asked           BIGINT,
    contact_id      UUID,
    name            TEXT NOT NULL,
    number          TEXT NOT NULL,
    urgency         BIGINT NOT NULL,
    due_ms          BIGINT NOT NULL,
    is_over         BIGINT NOT NULL DEFAULT 0,
    state           TEXT NOT NULL CHECK (state IN ('open', 'claimed', 'done', 'failed', 'cancelled')),
    claimed_by      UUID,
    claimed_by_name TEXT,
    lease_ms        BIGINT,
    attempts        BIGINT NOT NULL DEFAULT 0,
    result          TEXT,
    note            TEXT,
    version         BIGINT NOT NULL DEFAULT 1,
    created_ms      BIGINT NOT NULL,
    changed_ms      BIGINT NOT NULL
);
CREATE INDEX tasks_due ON tasks (due_ms, id) WHERE state IN ('open', 'claimed');
CREATE INDEX tasks_leased ON tasks (lease_ms) WHERE state = 'claimed';
CREATE INDEX tasks_by_message ON tasks (message_id);
CREATE INDEX tasks_by_account ON tasks (account_id);
CREATE INDEX tasks_by_time ON tasks (created_ms, id);

-- Events about messages that wait for the message relay.
CREATE TABLE message_notices (
    position   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id UUID NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    pbx        TEXT NOT NULL,
    taken_by   UUID,
    kind       TEXT NOT NULL,
    data_json  TEXT NOT NULL,
    at_ms      BIGINT NOT NULL
);
CREATE INDEX message_notices_by_message ON message_notices (message_id);
CREATE INDEX message_notices_by_pbx ON message_notices (pbx, position);
