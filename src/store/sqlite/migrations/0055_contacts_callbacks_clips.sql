-- Rules of a contact, and where the contact is as an operator wrote it down (src/contract/records/contact.rs).
ALTER TABLE contacts ADD COLUMN no_transfer INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN do_not_tell INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN presence TEXT;
ALTER TABLE contacts ADD COLUMN presence_until_ms INTEGER;
ALTER TABLE contacts ADD COLUMN presence_by TEXT;
ALTER TABLE contacts ADD COLUMN presence_at_ms INTEGER;

-- What people said about callers who hung up (src/contract/callback.rs). Nothing of the caller: the call has that.
CREATE TABLE callbacks (
    call_id BLOB PRIMARY KEY NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('open', 'taken', 'done')),
    by_id   BLOB NOT NULL,
    by_name TEXT NOT NULL,
    at_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX callbacks_by_time ON callbacks (at_ms);

-- Recorded pronunciations of accounts' names. A change counts as one of the notices', which pops are made of as well.
CREATE TABLE account_clips (
    account_id BLOB PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    content    BLOB NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;
CREATE TRIGGER account_clips_inserted AFTER INSERT ON account_clips BEGIN UPDATE account_notices_version SET version = version + 1; END;
CREATE TRIGGER account_clips_updated AFTER UPDATE ON account_clips BEGIN UPDATE account_notices_version SET version = version + 1; END;
CREATE TRIGGER account_clips_deleted AFTER DELETE ON account_clips BEGIN UPDATE account_notices_version SET version = version + 1; END;
