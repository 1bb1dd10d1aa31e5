-- Account notices (src/contract/notice.rs): what holds for an account until a given time.
CREATE TABLE account_notices (
    id         BLOB PRIMARY KEY NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    text       TEXT NOT NULL,
    from_ms    INTEGER NOT NULL,
    until_ms   INTEGER NOT NULL,
    by_name    TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX account_notices_of_account ON account_notices (account_id, until_ms);
CREATE INDEX account_notices_by_end ON account_notices (until_ms, id);

-- Counts every change of a notice: a daemon that keeps them in memory sees by it that another process changed them.
CREATE TABLE account_notices_version (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO account_notices_version (one, version) VALUES (1, 1);
CREATE TRIGGER account_notices_inserted AFTER INSERT ON account_notices BEGIN UPDATE account_notices_version SET version = version + 1; END;
CREATE TRIGGER account_notices_updated AFTER UPDATE ON account_notices BEGIN UPDATE account_notices_version SET version = version + 1; END;
CREATE TRIGGER account_notices_deleted AFTER DELETE ON account_notices BEGIN UPDATE account_notices_version SET version = version + 1; END;

-- Changes of records whose events wait for the relay of the PBX's leader (src/messages/relay.rs).
CREATE TABLE record_changes (
    position   INTEGER PRIMARY KEY AUTOINCREMENT,
    pbx        TEXT NOT NULL,
    kind       TEXT NOT NULL,
    account_id BLOB REFERENCES accounts (id) ON DELETE CASCADE,
    subject_id BLOB NOT NULL,
    at_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX record_changes_by_pbx ON record_changes (pbx, position);
CREATE INDEX record_changes_of_account ON record_changes (account_id);
