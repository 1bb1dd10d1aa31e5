-- Ids are UUIDs (version 7 where made here, so they grow with time); times are milliseconds since 1970 UTC; numbers
-- are canonical keys (E.164, or the bare digits of extensions and service numbers). Columns with JSON are named
-- *_json and are texts, as in SQLite. Readings sort by their code points, as there, whatever the server's locale.

-- What SQLite calls strpos.
CREATE FUNCTION instr (haystack text, needle text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN strpos(haystack, needle);

CREATE TABLE teams (
    id   UUID PRIMARY KEY NOT NULL,
    name TEXT COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE users (
    id            UUID PRIMARY KEY NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    kana          TEXT COLLATE "C" NOT NULL DEFAULT '',
    role          TEXT NOT NULL CHECK (role IN ('operator', 'supervisor', 'admin', 'system')),
    extension     TEXT,
    team_id       UUID REFERENCES teams (id) ON DELETE SET NULL,
    password_hash TEXT,
    created_ms    BIGINT NOT NULL,
    changed_ms    BIGINT NOT NULL,
    revoked_ms    BIGINT
);
CREATE INDEX users_by_team ON users (team_id);
-- People sign in by name or extension; both are free again when their bearer has left.
CREATE UNIQUE INDEX users_by_name ON users (name) WHERE revoked_ms IS NULL;
CREATE UNIQUE INDEX users_by_extension ON users (extension) WHERE revoked_ms IS NULL AND extension IS NOT NULL;

-- The token itself is never stored, only its SHA-256.
CREATE TABLE tokens (
    sha256       BYTEA PRIMARY KEY NOT NULL,
    id           UUID NOT NULL UNIQUE,
    user_id      UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    label        TEXT NOT NULL DEFAULT '',
    kind         TEXT NOT NULL CHECK (kind IN ('token', 'session')),
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT,
    last_used_ms BIGINT,
    revoked_ms   BIGINT
);
CREATE INDEX tokens_by_user ON tokens (user_id);

CREATE TABLE accounts (
    id               UUID PRIMARY KEY NOT NULL,
    code             TEXT NOT NULL UNIQUE,
    name             TEXT COLLATE "C" NOT NULL,
    kana             TEXT COLLATE "C" NOT NULL DEFAULT '',
    answer_phrase    TEXT NOT NULL DEFAULT '',
    notes            TEXT NOT NULL DEFAULT '',
    caller_id_policy TEXT NOT NULL DEFAULT 'caller' CHECK (caller_id_policy IN ('caller', 'account', 'service')),
    never_monitor    BOOLEAN NOT NULL DEFAULT false,
    wrap_up_s        BIGINT,
    hours_json       TEXT,
    created_ms       BIGINT NOT NULL,
    changed_ms       BIGINT NOT NULL
);

-- One number leads to one account: that is what makes a pop certain.
CREATE TABLE account_numbers (
    kind       TEXT NOT NULL CHECK (kind IN ('dialled', 'forwarding')),
    key        TEXT NOT NULL,
    account_id UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    original   TEXT NOT NULL,
    position   BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, key)
);
CREATE INDEX account_numbers_by_account ON account_numbers (account_id);

CREATE TABLE customers (
    id         UUID PRIMARY KEY NOT NULL,
    account_id UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    code       TEXT,
    name       TEXT COLLATE "C" NOT NULL,
    kana       TEXT COLLATE "C" NOT NULL DEFAULT '',
    company    TEXT,
    department TEXT,
    notes      TEXT,
    flags_json TEXT NOT NULL DEFAULT '[]',
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX customers_by_code ON customers (account_id, code) WHERE code IS NOT NULL;
CREATE INDEX customers_by_account ON customers (account_id, id);

-- The primary key is the lookup of every pop.
CREATE TABLE customer_numbers (
    account_id  UUID NOT NULL,
    key         TEXT NOT NULL,
    customer_id UUID NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    original    TEXT NOT NULL,
    position    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, key, customer_id)
);
CREATE INDEX customer_numbers_by_customer ON customer_numbers (customer_id);

CREATE TABLE contacts (
    id            UUID PRIMARY KEY NOT NULL,
    account_id    UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    code          TEXT,
    name          TEXT COLLATE "C" NOT NULL,
    kana          TEXT COLLATE "C" NOT NULL DEFAULT '',
    role          TEXT NOT NULL DEFAULT '',
    number_key    TEXT,
    number        TEXT,
    email         TEXT,
    on_call_order BIGINT,
    accept_by_key BOOLEAN NOT NULL DEFAULT true,
    created_ms    BIGINT NOT NULL,
    changed_ms    BIGINT NOT NULL
);
CREATE UNIQUE INDEX contacts_by_code ON contacts (account_id, code) WHERE code IS NOT NULL;
CREATE INDEX contacts_by_account ON contacts (account_id, on_call_order);

-- Finished calls. No foreign keys to the directory: a call stays when an account or customer is deleted.
CREATE TABLE calls (
    id             UUID PRIMARY KEY NOT NULL,
    pbx            TEXT NOT NULL,
    direction      TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound', 'internal')),
    account_id     UUID,
    customer_id    UUID,
    matched_by     TEXT NOT NULL DEFAULT 'none',
    caller_key     TEXT,
    presentation   TEXT NOT NULL CHECK (presentation IN ('allowed', 'withheld', 'payphone', 'unavailable')),
    dialled        TEXT,
    diverted_by    TEXT,
    offered_ms     BIGINT NOT NULL,
    answered_ms    BIGINT,
    ended_ms       BIGINT NOT NULL,
    outcome        TEXT NOT NULL,
    operators_json TEXT NOT NULL DEFAULT '[]',
    channels_json  TEXT NOT NULL DEFAULT '[]',
    inferred       BOOLEAN NOT NULL DEFAULT false,
    CHECK (presentation = 'allowed' OR caller_key IS NULL)
);
CREATE INDEX calls_by_caller ON calls (account_id, caller_key, offered_ms) WHERE caller_key IS NOT NULL;
CREATE INDEX calls_by_customer ON calls (customer_id, offered_ms) WHERE customer_id IS NOT NULL;
CREATE INDEX calls_by_account ON calls (account_id, offered_ms);
CREATE INDEX calls_by_time ON calls (offered_ms);

-- What happened inside a finished call, in order: whom it rang at, who had it, holds, transfers.
CREATE TABLE call_segments (
    call_id  UUID NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    ordinal  BIGINT NOT NULL,
    kind     TEXT NOT NULL,
    operator TEXT,
    target   TEXT,
    from_ms  BIGINT NOT NULL,
    until_ms BIGINT,
    result   TEXT,
    PRIMARY KEY (call_id, ordinal)
);

CREATE TABLE messages (
    id              UUID PRIMARY KEY NOT NULL,
    account_id      UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    call_id         UUID,
    customer_id     UUID,
    contact_id      UUID,
    taken_by        UUID,
    caller_key      TEXT,
    text            TEXT NOT NULL,
    state           TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'sent', 'failed', 'acknowledged')),
    created_ms      BIGINT NOT NULL,
    sent_ms         BIGINT,
    acknowledged_ms BIGINT
);
CREATE INDEX messages_by_caller ON messages (account_id, caller_key, created_ms) WHERE caller_key IS NOT NULL;
CREATE INDEX messages_by_state ON messages (state, created_ms);

-- The recent part of the event stream, so that a desktop can resume after a restart.
CREATE TABLE events (
    position  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id        TEXT NOT NULL UNIQUE,
    at_ms     BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    pbx       TEXT NOT NULL,
    call_id   UUID,
    body_json TEXT NOT NULL
);
CREATE INDEX events_by_time ON events (at_ms);

-- Who did what to whom. Rows are only ever added.
CREATE TABLE audit (
    position     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms        BIGINT NOT NULL,
    actor_id     UUID,
    actor        TEXT NOT NULL,
    action       TEXT NOT NULL,
    subject      TEXT NOT NULL DEFAULT '',
    call_id      UUID,
    details_json TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_by_time ON audit (at_ms);
CREATE FUNCTION audit_is_kept () RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'audit rows are not changed or removed'; END $$;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit EXECUTE FUNCTION audit_is_kept();

-- Counts every change of accounts and their numbers: a daemon that keeps them in memory sees by it that
-- another process changed them.
CREATE TABLE directory_version (
    one     BIGINT PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL
);
INSERT INTO directory_version (one, version) VALUES (1, 1);
CREATE FUNCTION directory_changed () RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN UPDATE directory_version SET version = version + 1; RETURN NULL; END $$;
CREATE TRIGGER accounts_changed AFTER INSERT OR UPDATE OR DELETE ON accounts EXECUTE FUNCTION directory_changed();
CREATE TRIGGER numbers_changed AFTER INSERT OR UPDATE OR DELETE ON account_numbers EXECUTE FUNCTION directory_changed();
