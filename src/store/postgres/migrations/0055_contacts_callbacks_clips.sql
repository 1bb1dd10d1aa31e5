-- Rules of a contact, and where the contact is as an operator wrote it down (src/contract/records/contact.rs).
ALTER TABLE contacts ADD COLUMN no_transfer BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE contacts ADD COLUMN do_not_tell BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE contacts ADD COLUMN presence TEXT;
ALTER TABLE contacts ADD COLUMN presence_until_ms BIGINT;
ALTER TABLE contacts ADD COLUMN presence_by TEXT;
ALTER TABLE contacts ADD COLUMN presence_at_ms BIGINT;

-- What people said about callers who hung up (src/contract/callback.rs). Nothing of the caller: the call has that.
CREATE TABLE callbacks (
    call_id UUID PRIMARY KEY NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('open', 'taken', 'done')),
    by_id   UUID NOT NULL,
    by_name TEXT NOT NULL,
    at_ms   BIGINT NOT NULL
);
CREATE INDEX callbacks_by_time ON callbacks (at_ms);

-- Recorded pronunciations of accounts' names. A change counts as one of the notices', which pops are made of as well.
CREATE TABLE account_clips (
    account_id UUID PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    content    BYTEA NOT NULL,
    changed_ms BIGINT NOT NULL
);
CREATE TRIGGER account_clips_changed AFTER INSERT OR UPDATE OR DELETE ON account_clips
    EXECUTE FUNCTION account_notices_changed();
