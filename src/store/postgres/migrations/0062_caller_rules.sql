-- Callers whom an account refuses, or who are answered first: src/contract/caller_rule.rs. key is the number.
CREATE TABLE caller_rules (
    id         UUID PRIMARY KEY NOT NULL,
    account_id UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    key        TEXT NOT NULL,
    rule       TEXT NOT NULL CHECK (rule IN ('refuse', 'prefer')),
    priority   BIGINT NOT NULL,
    note       TEXT NOT NULL,
    until_ms   BIGINT,
    by_name    TEXT NOT NULL
);
CREATE UNIQUE INDEX caller_rules_of_account ON caller_rules (account_id, key);
CREATE TRIGGER caller_rules_changed AFTER INSERT OR UPDATE OR DELETE ON caller_rules EXECUTE FUNCTION directory_changed();
