-- The rules of an account's bill (src/billing), and bills that were closed. A closed bill never changes and has no text of
-- a caller; it stays when its account is deleted.
CREATE TABLE billing_plans (
    account_id UUID PRIMARY KEY NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    plan_json  TEXT NOT NULL,
    by_name    TEXT NOT NULL,
    changed_ms BIGINT NOT NULL
);

CREATE TABLE closed_bills (
    account_id   UUID NOT NULL,
    month        TEXT NOT NULL,
    account_name TEXT NOT NULL,
    from_ms      BIGINT NOT NULL,
    to_ms        BIGINT NOT NULL,
    bill_json    TEXT NOT NULL,
    closed_ms    BIGINT NOT NULL,
    by_name      TEXT NOT NULL,
    PRIMARY KEY (account_id, month)
);
CREATE INDEX closed_bills_by_month ON closed_bills (month, account_id);
