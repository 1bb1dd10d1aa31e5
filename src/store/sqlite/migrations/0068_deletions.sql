-- What was deleted a moment ago and can be brought back: src/store/deletions. id is the deleted record's.
CREATE TABLE deletions (
    id           BLOB PRIMARY KEY NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('account', 'contact', 'customer', 'user')),
    name         TEXT NOT NULL,
    code         TEXT,
    by_name      TEXT NOT NULL,
    at_ms        INTEGER NOT NULL,
    content_json TEXT NOT NULL
) STRICT;
CREATE INDEX deletions_by_time ON deletions (at_ms);
