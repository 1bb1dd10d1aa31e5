-- Keys that the daemons of a group share: with `requests` they sign the requests that they send each other.
CREATE TABLE group_keys (
    name TEXT NOT NULL PRIMARY KEY,
    key  BYTEA NOT NULL
);
