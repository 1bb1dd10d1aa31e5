-- A merge of two customers can be undone as a deletion can: src/store/deletions. Its row has the id of the customer who went.
CREATE TABLE deletions_next (
    id           BLOB PRIMARY KEY NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('account', 'contact', 'customer', 'user', 'merge')),
    name         TEXT NOT NULL,
    code         TEXT,
    by_name      TEXT NOT NULL,
    at_ms        INTEGER NOT NULL,
    content_json TEXT NOT NULL
) STRICT;
INSERT INTO deletions_next (id, kind, name, code, by_name, at_ms, content_json)
    SELECT id, kind, name, code, by_name, at_ms, content_json FROM deletions;
DROP TABLE deletions;
ALTER TABLE deletions_next RENAME TO deletions;
CREATE INDEX deletions_by_time ON deletions (at_ms);

-- The calls and messages that a merge moved from customer_id to kept_id: an undo moves them back.
CREATE TABLE merged_rows (
    id          BLOB PRIMARY KEY NOT NULL,
    customer_id BLOB NOT NULL,
    kept_id     BLOB NOT NULL,
    part        TEXT NOT NULL CHECK (part IN ('call', 'message'))
) STRICT;
CREATE INDEX merged_rows_by_customer ON merged_rows (customer_id, part, id);
