-- What was agreed with an account about a figure (src/stats/contract.rs).
CREATE TABLE contracts (
    account_id    BLOB PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    contract_json TEXT NOT NULL,
    by_name       TEXT NOT NULL,
    changed_ms    INTEGER NOT NULL
) STRICT;
