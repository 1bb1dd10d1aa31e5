-- Ids are UUIDs as 16-byte blobs (version 7 where made here, so they grow with time); times are milliseconds
-- since 1970 UTC; numbers are canonical keys (E.164, or the bare digits of extensions and service numbers).
-- Columns with JSON are named *_json.

CREATE TABLE teams (
    id   BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE users (
    id            BLOB PRIMARY KEY NOT NULL,
    name          TEXT NOT NULL,
    kana          TEXT NOT NULL DEFAULT '',
    role          TEXT NOT NULL CHECK (role IN ('operator', 'supervisor', 'admin', 'system')),
    extension     TEXT,
    team_id       BLOB REFERENCES teams (id) ON DELETE SET NULL,
    password_hash TEXT,
    created_ms    INTEGER NOT NULL,
    changed_ms    INTEGER NOT NULL,
    revoked_ms    INTEGER
) STRICT;
CREATE INDEX users_by_team ON users (team_id);
-- People sign in by name or extension; both are free again when their bearer has left.
CREATE UNIQUE INDEX users_by_name ON users (name) WHERE revoked_ms IS NULL;
CREATE UNIQUE INDEX users_by_extension ON users (extension) WHERE revoked_ms IS NULL AND extension IS NOT NULL;

-- The token itself is never stored, only its SHA-256.
CREATE TABLE tokens (
    sha256       BLOB PRIMARY KEY NOT NULL,
    id           BLOB NOT NULL UNIQUE,
    user_id      BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    label        TEXT NOT NULL DEFAULT '',
    kind         TEXT NOT NULL CHECK (kind IN ('token', 'session')),
    created_ms   INTEGER NOT NULL,
    expires_ms   INTEGER,
    last_used_ms INTEGER,
    revoked_ms   INTEGER
) STRICT;
CREATE INDEX tokens_by_user ON tokens (user_id);

CREATE TABLE accounts (
    id               BLOB PRIMARY KEY NOT NULL,
    code             TEXT NOT NULL UNIQUE,
    name             TEXT NOT NULL,
    kana             TEXT NOT NULL DEFAULT '',
    answer_phrase    TEXT NOT NULL DEFAULT '',
    notes            TEXT NOT NULL DEFAULT '',
    caller_id_policy TEXT NOT NULL DEFAULT 'caller' CHECK (caller_id_policy IN ('caller', 'account', 'service')),
    never_monitor    INTEGER NOT NULL DEFAULT 0,
    wrap_up_s        INTEGER,
    hours_json       TEXT,
    created_ms       INTEGER NOT NULL,
    changed_ms       INTEGER NOT NULL
) STRICT;

-- One number leads to one account: that is what makes a pop certain.
CREATE TABLE account_numbers (
    kind       TEXT NOT NULL CHECK (kind IN ('dialled', 'forwarding')),
    key        TEXT NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    original   TEXT NOT NULL,
    position   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX account_numbers_by_account ON account_numbers (account_id);

CREATE TABLE customers (
    id         BLOB PRIMARY KEY NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    code       TEXT,
    name       TEXT NOT NULL,
    kana       TEXT NOT NULL DEFAULT '',
    company    TEXT,
    department TEXT,
    notes      TEXT,
    flags_json TEXT NOT NULL DEFAULT '[]',
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX customers_by_code ON customers (account_id, code) WHERE code IS NOT NULL;
CREATE INDEX customers_by_account ON customers (account_id, id);

-- The primary key is the lookup of every pop.
CREATE TABLE customer_numbers (
    account_id  BLOB NOT NULL,
    key         TEXT NOT NULL,
    customer_id BLOB NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    original    TEXT NOT NULL,
    position    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account_id, key, customer_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX customer_numbers_by_customer ON customer_numbers (customer_id);

CREATE TABLE contacts (
    id            BLOB PRIMARY KEY NOT NULL,
    account_id    BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    code          TEXT,
    name          TEXT NOT NULL,
    kana          TEXT NOT NULL DEFAULT '',
    role          TEXT NOT NULL DEFAULT '',
    number_key    TEXT,
    number        TEXT,
    email         TEXT,
    on_call_order INTEGER,
    accept_by_key INTEGER NOT NULL DEFAULT 1,
    created_ms    INTEGER NOT NULL,
    changed_ms    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX contacts_by_code ON contacts (account_id, code) WHERE code IS NOT NULL;
CREATE INDEX contacts_by_account ON contacts (account_id, on_call_order);

-- Finished calls. No foreign keys to the directory: a call stays when an account or customer is deleted.
CREATE TABLE calls (
    id             BLOB PRIMARY KEY NOT NULL,
    pbx            TEXT NOT NULL,
    direction      TEXT NOT NULL CHECK (direction IN ('inbound', 'outbound', 'internal')),
    account_id     BLOB,
    customer_id    BLOB,
    matched_by     TEXT NOT NULL DEFAULT 'none',
    caller_key     TEXT,
    presentation   TEXT NOT NULL CHECK (presentation IN ('allowed', 'withheld', 'payphone', 'unavailable')),
    dialled        TEXT,
    diverted_by    TEXT,
    offered_ms     INTEGER NOT NULL,
    answered_ms    INTEGER,
    ended_ms       INTEGER NOT NULL,
    outcome        TEXT NOT NULL,
    operators_json TEXT NOT NULL DEFAULT '[]',
    channels_json  TEXT NOT NULL DEFAULT '[]',
    inferred       INTEGER NOT NULL DEFAULT 0,
    CHECK (presentation = 'allowed' OR caller_key IS NULL)
) STRICT;
CREATE INDEX calls_by_caller ON calls (account_id, caller_key, offered_ms) WHERE caller_key IS NOT NULL;
CREATE INDEX calls_by_customer ON calls (customer_id, offered_ms) WHERE customer_id IS NOT NULL;
CREATE INDEX calls_by_account ON calls (account_id, offered_ms);
CREATE INDEX calls_by_time ON calls (offered_ms);

-- What happened inside a finished call, in order: whom it rang at, who had it, holds, transfers.
CREATE TABLE call_segments (
    call_id  BLOB NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    ordinal  INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    operator TEXT,
    target   TEXT,
    from_ms  INTEGER NOT NULL,
    until_ms INTEGER,
    result   TEXT,
    PRIMARY KEY (call_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    id              BLOB PRIMARY KEY NOT NULL,
    account_id      BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    call_id         BLOB,
    customer_id     BLOB,
    contact_id      BLOB,
    taken_by        BLOB,
    caller_key      TEXT,
    text            TEXT NOT NULL,
    state           TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'sent', 'failed', 'acknowledged')),
    created_ms      INTEGER NOT NULL,
    sent_ms         INTEGER,
    acknowledged_ms INTEGER
) STRICT;
CREATE INDEX messages_by_caller ON messages (account_id, caller_key, created_ms) WHERE caller_key IS NOT NULL;
CREATE INDEX messages_by_state ON messages (state, created_ms);

-- The recent part of the event stream, so that a desktop can resume after a restart.
CREATE TABLE events (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE,
    at_ms     INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    pbx       TEXT NOT NULL,
    call_id   BLOB,
    body_json TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (at_ms);

-- Who did what to whom. Rows are only ever added.
CREATE TABLE audit (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms        INTEGER NOT NULL,
    actor_id     BLOB,
    actor        TEXT NOT NULL,
    action       TEXT NOT NULL,
    subject      TEXT NOT NULL DEFAULT '',
    call_id      BLOB,
    details_json TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX audit_by_time ON audit (at_ms);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are not changed'); END;
CREATE TRIGGER audit_is_not_removed BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit rows are not removed'); END;

-- Counts every change of accounts and their numbers: a daemon that keeps them in memory sees by it that
-- another process changed them.
CREATE TABLE directory_version (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO directory_version (one, version) VALUES (1, 1);
CREATE TRIGGER accounts_inserted AFTER INSERT ON accounts BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER accounts_updated AFTER UPDATE ON accounts BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER accounts_deleted AFTER DELETE ON accounts BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER numbers_inserted AFTER INSERT ON account_numbers BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER numbers_updated AFTER UPDATE ON account_numbers BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER numbers_deleted AFTER DELETE ON account_numbers BEGIN UPDATE directory_version SET version = version + 1; END;
