-- A message's record: its number (受付番号), what a person sets, its revisions. content_json is the JSON of the live
-- revision's fields but those that have columns; search is what a search compares, folded (contract/records/search.rs).
-- search is NULL in the rows of earlier versions: a search compares their text as it is written.
ALTER TABLE messages ADD COLUMN number TEXT;
ALTER TABLE messages ADD COLUMN kind TEXT NOT NULL DEFAULT 'message';
ALTER TABLE messages ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE messages ADD COLUMN revision_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE messages ADD COLUMN reason TEXT;
ALTER TABLE messages ADD COLUMN action TEXT NOT NULL DEFAULT 'none';
ALTER TABLE messages ADD COLUMN urgency TEXT NOT NULL DEFAULT 'normal';
ALTER TABLE messages ADD COLUMN mark TEXT;
ALTER TABLE messages ADD COLUMN hold_until_ms INTEGER;
ALTER TABLE messages ADD COLUMN deleted_ms INTEGER;
ALTER TABLE messages ADD COLUMN content_json TEXT NOT NULL DEFAULT '{}';
ALTER TABLE messages ADD COLUMN from_key TEXT;
ALTER TABLE messages ADD COLUMN search TEXT;
CREATE UNIQUE INDEX messages_by_number ON messages (number) WHERE number IS NOT NULL;
CREATE INDEX messages_by_sender ON messages (account_id, from_key) WHERE from_key IS NOT NULL;
CREATE INDEX messages_by_taker ON messages (taken_by, created_ms, id);
CREATE INDEX messages_by_contact ON messages (contact_id, created_ms, id) WHERE contact_id IS NOT NULL;
CREATE INDEX messages_by_mark ON messages (mark, created_ms, id) WHERE mark IS NOT NULL;
CREATE INDEX messages_withdrawn ON messages (deleted_ms) WHERE deleted_ms IS NOT NULL;

-- The last number of each day, YYMMDD in the installation's time zone.
CREATE TABLE message_days (
    day  TEXT PRIMARY KEY NOT NULL,
    last INTEGER NOT NULL
) STRICT;

-- Every content of a message; messages of earlier versions have rows from their first change on.
CREATE TABLE message_revisions (
    message_id   BLOB NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    revision     INTEGER NOT NULL,
    content_json TEXT NOT NULL,
    by_id        BLOB,
    by_name      TEXT NOT NULL,
    why          TEXT,
    at_ms        INTEGER NOT NULL,
    PRIMARY KEY (message_id, revision)
) STRICT;

-- What a person is writing about a call, as the page left it.
CREATE TABLE drafts (
    user_id     BLOB NOT NULL,
    call_id     BLOB NOT NULL,
    account_id  BLOB,
    customer_id BLOB,
    body_json   TEXT NOT NULL,
    version     INTEGER NOT NULL,
    changed_ms  INTEGER NOT NULL,
    PRIMARY KEY (user_id, call_id)
) STRICT;
CREATE INDEX drafts_by_age ON drafts (changed_ms);
CREATE INDEX drafts_by_call ON drafts (call_id);
