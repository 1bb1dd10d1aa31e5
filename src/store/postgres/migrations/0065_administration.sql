-- When contacts are on call by date (src/contract/records/contact.rs).
ALTER TABLE contacts ADD COLUMN on_call_shifts_json TEXT NOT NULL DEFAULT '[]';

-- What people changed of customers, before and after. It goes with the customer: the audit trail names fields alone.
CREATE TABLE customer_changes (
    id          UUID PRIMARY KEY NOT NULL,
    customer_id UUID NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    action      TEXT NOT NULL CHECK (action IN ('created', 'changed', 'merged')),
    by_name     TEXT NOT NULL,
    at_ms       BIGINT NOT NULL,
    fields_json TEXT NOT NULL
);
CREATE INDEX customer_changes_by_customer ON customer_changes (customer_id, id);
