-- What happens to an account's calls before an operator, and overrides of the hours: src/contract/callflow.rs. The daemon that
-- writes plans to the PBX sees each change by the version of the directory.
CREATE TABLE callflows (
    account_id  BLOB PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    fields_json TEXT NOT NULL,
    by_name     TEXT NOT NULL,
    changed_ms  INTEGER NOT NULL
) STRICT;
CREATE TRIGGER callflows_inserted AFTER INSERT ON callflows BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER callflows_updated AFTER UPDATE ON callflows BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER callflows_deleted AFTER DELETE ON callflows BEGIN UPDATE directory_version SET version = version + 1; END;

-- Without an account: of the whole service.
CREATE TABLE overrides (
    id         BLOB PRIMARY KEY NOT NULL,
    account_id BLOB REFERENCES accounts (id) ON DELETE CASCADE,
    treatment  TEXT NOT NULL CHECK (treatment IN ('closed', 'open')),
    from_ms    INTEGER NOT NULL,
    until_ms   INTEGER,
    reason     TEXT NOT NULL,
    by_name    TEXT NOT NULL
) STRICT;
CREATE INDEX overrides_of_account ON overrides (account_id);
CREATE TRIGGER overrides_inserted AFTER INSERT ON overrides BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER overrides_deleted AFTER DELETE ON overrides BEGIN UPDATE directory_version SET version = version + 1; END;
