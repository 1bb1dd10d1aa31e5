-- Scripts (トークスクリプト): what operators say and ask. Every saved text is a version, which never changes; a live one is
-- used on the days for which it is valid.
CREATE TABLE script_versions (
    account_id   UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    script       TEXT NOT NULL,
    version      BIGINT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('draft', 'live', 'retired')),
    name         TEXT NOT NULL,
    body         TEXT NOT NULL,
    by_id        UUID,
    by_name      TEXT NOT NULL,
    restored     BIGINT,
    at_ms        BIGINT NOT NULL,
    published_ms BIGINT,
    PRIMARY KEY (account_id, script, version)
);
CREATE INDEX script_versions_live ON script_versions (account_id, script, version) WHERE state = 'live';

-- Counts every change of a version: a daemon that keeps the live ones in memory sees by it that another process changed
-- them.
CREATE TABLE scripts_version (
    one     BIGINT PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL
);
INSERT INTO scripts_version (one, version) VALUES (1, 1);
CREATE FUNCTION scripts_changed () RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN UPDATE scripts_version SET version = version + 1; RETURN NULL; END $$;
CREATE TRIGGER scripts_changed AFTER INSERT OR UPDATE OR DELETE ON script_versions EXECUTE FUNCTION scripts_changed();

-- What callers said to the offers of scripts, for counting; the content of the message has them, too.
CREATE TABLE offer_results (
    message_id UUID NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    offer      TEXT NOT NULL,
    account_id UUID NOT NULL,
    script     TEXT NOT NULL,
    taken_by   UUID,
    result     TEXT NOT NULL,
    at_ms      BIGINT NOT NULL,
    PRIMARY KEY (message_id, offer)
);
CREATE INDEX offer_results_by_time ON offer_results (at_ms);
CREATE INDEX offer_results_by_account ON offer_results (account_id, at_ms);
