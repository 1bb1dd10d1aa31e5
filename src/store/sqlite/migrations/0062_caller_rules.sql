-- Callers whom an account refuses, or who are answered first: src/contract/caller_rule.rs. key is the number.
CREATE TABLE caller_rules (
    id         BLOB PRIMARY KEY NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    key        TEXT NOT NULL,
    rule       TEXT NOT NULL CHECK (rule IN ('refuse', 'prefer')),
    priority   INTEGER NOT NULL,
    note       TEXT NOT NULL,
    until_ms   INTEGER,
    by_name    TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX caller_rules_of_account ON caller_rules (account_id, key);
CREATE TRIGGER caller_rules_inserted AFTER INSERT ON caller_rules BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER caller_rules_updated AFTER UPDATE ON caller_rules BEGIN UPDATE directory_version SET version = version + 1; END;
CREATE TRIGGER caller_rules_deleted AFTER DELETE ON caller_rules BEGIN UPDATE directory_version SET version = version + 1; END;
