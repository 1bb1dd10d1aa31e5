-- Account notices (src/contract/notice.rs): what holds for an account until a given time.
CREATE TABLE account_notices (
    id         UUID PRIMARY KEY NOT NULL,
    account_id UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    text       TEXT NOT NULL,
    from_ms    BIGINT NOT NULL,
    until_ms   BIGINT NOT NULL,
    by_name    TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL
);
CREATE INDEX account_notices_of_account ON account_notices (account_id, until_ms);
CREATE INDEX account_notices_by_end ON account_notices (until_ms, id);

-- Counts every change of a notice: a daemon that keeps them in memory sees by it that another process changed them.
CREATE TABLE account_notices_version (
    one     BIGINT PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL
);
INSERT INTO account_notices_version (one, version) VALUES (1, 1);
CREATE FUNCTION account_notices_changed () RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN UPDATE account_notices_version SET version = version + 1; RETURN NULL; END $$;
CREATE TRIGGER account_notices_changed AFTER INSERT OR UPDATE OR DELETE ON account_notices
    EXECUTE FUNCTION account_notices_changed();

-- Changes of records whose events wait for the relay of the PBX's leader (src/messages/relay.rs).
CREATE TABLE record_changes (
    position   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pbx        TEXT NOT NULL,
    kind       TEXT NOT NULL,
    account_id UUID REFERENCES accounts (id) ON DELETE CASCADE,
    subject_id UUID NOT NULL,
    at_ms      BIGINT NOT NULL
);
CREATE INDEX record_changes_by_pbx ON record_changes (pbx, position);
CREATE INDEX record_changes_of_account ON record_changes (account_id);
