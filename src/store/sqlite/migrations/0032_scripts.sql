-- Scripts (トークスクリプト): what operators say and ask. Every saved text is a version, which never changes; a live one is
-- used on the days for which it is valid.
CREATE TABLE script_versions (
    account_id   BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    script       TEXT NOT NULL,
    version      INTEGER NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('draft', 'live', 'retired')),
    name         TEXT NOT NULL,
    body         TEXT NOT NULL,
    by_id        BLOB,
    by_name      TEXT NOT NULL,
    restored     INTEGER,
    at_ms        INTEGER NOT NULL,
    published_ms INTEGER,
    PRIMARY KEY (account_id, script, version)
) STRICT;
CREATE INDEX script_versions_live ON script_versions (account_id, script, version) WHERE state = 'live';

-- Counts every change of a version: a daemon that keeps the live ones in memory sees by it that another process changed
-- them.
CREATE TABLE scripts_version (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO scripts_version (one, version) VALUES (1, 1);
CREATE TRIGGER scripts_inserted AFTER INSERT ON script_versions BEGIN UPDATE scripts_version SET version = version + 1; END;
CREATE TRIGGER scripts_updated AFTER UPDATE ON script_versions BEGIN UPDATE scripts_version SET version = version + 1; END;
CREATE TRIGGER scripts_deleted AFTER DELETE ON script_versions BEGIN UPDATE scripts_version SET version = version + 1; END;

-- What callers said to the offers of scripts, for counting; the content of the message has them, too.
CREATE TABLE offer_results (
    message_id BLOB NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    offer      TEXT NOT NULL,
    account_id BLOB NOT NULL,
    script     TEXT NOT NULL,
    taken_by   BLOB,
    result     TEXT NOT NULL,
    at_ms      INTEGER NOT NULL,
    PRIMARY KEY (message_id, offer)
) STRICT;
CREATE INDEX offer_results_by_time ON offer_results (at_ms);
CREATE INDEX offer_results_by_account ON offer_results (account_id, at_ms);
