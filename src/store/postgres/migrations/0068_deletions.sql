-- What was deleted a moment ago and can be brought back: src/store/deletions. id is the deleted record's.
CREATE TABLE deletions (
    id           UUID PRIMARY KEY NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('account', 'contact', 'customer', 'user')),
    name         TEXT NOT NULL,
    code         TEXT,
    by_name      TEXT NOT NULL,
    at_ms        BIGINT NOT NULL,
    content_json TEXT NOT NULL
);
CREATE INDEX deletions_by_time ON deletions (at_ms);
