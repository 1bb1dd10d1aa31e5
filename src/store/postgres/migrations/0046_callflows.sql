-- What happens to an account's calls before an operator, and overrides of the hours: src/contract/callflow.rs. The daemon that
-- writes plans to the PBX sees each change by the version of the directory.
CREATE TABLE callflows (
    account_id  UUID PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    fields_json TEXT NOT NULL,
    by_name     TEXT NOT NULL,
    changed_ms  BIGINT NOT NULL
);
CREATE TRIGGER callflows_changed AFTER INSERT OR UPDATE OR DELETE ON callflows EXECUTE FUNCTION directory_changed();

-- Without an account: of the whole service.
CREATE TABLE overrides (
    id         UUID PRIMARY KEY NOT NULL,
    account_id UUID REFERENCES accounts (id) ON DELETE CASCADE,
    treatment  TEXT NOT NULL CHECK (treatment IN ('closed', 'open')),
    from_ms    BIGINT NOT NULL,
    until_ms   BIGINT,
    reason     TEXT NOT NULL,
    by_name    TEXT NOT NULL
);
CREATE INDEX overrides_of_account ON overrides (account_id);
CREATE TRIGGER overrides_changed AFTER INSERT OR UPDATE OR DELETE ON overrides EXECUTE FUNCTION directory_changed();
