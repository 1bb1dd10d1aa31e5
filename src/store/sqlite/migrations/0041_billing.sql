-- The rules of an account's bill (src/billing), and bills that were closed. A closed bill never changes and has no text of
-- a caller; it stays when its account is deleted.
CREATE TABLE billing_plans (
    account_id BLOB PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    plan_json  TEXT NOT NULL,
    by_name    TEXT NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE closed_bills (
    account_id   BLOB NOT NULL,
    month        TEXT NOT NULL,
    account_name TEXT NOT NULL,
    from_ms      INTEGER NOT NULL,
    to_ms        INTEGER NOT NULL,
    bill_json    TEXT NOT NULL,
    closed_ms    INTEGER NOT NULL,
    by_name      TEXT NOT NULL,
    PRIMARY KEY (account_id, month)
) STRICT, WITHOUT ROWID;
CREATE INDEX closed_bills_by_month ON closed_bills (month, account_id);
