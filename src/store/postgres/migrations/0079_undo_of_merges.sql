-- A merge of two customers can be undone as a deletion can: src/store/deletions. Its row has the id of the customer who went.
ALTER TABLE deletions DROP CONSTRAINT deletions_kind_check;
ALTER TABLE deletions ADD CONSTRAINT deletions_kind_check
    CHECK (kind IN ('account', 'contact', 'customer', 'user', 'merge'));

-- The calls and messages that a merge moved from customer_id to kept_id: an undo moves them back.
CREATE TABLE merged_rows (
    id          UUID PRIMARY KEY NOT NULL,
    customer_id UUID NOT NULL,
    kept_id     UUID NOT NULL,
    part        TEXT NOT NULL CHECK (part IN ('call', 'message'))
);
CREATE INDEX merged_rows_by_customer ON merged_rows (customer_id, part, id);
