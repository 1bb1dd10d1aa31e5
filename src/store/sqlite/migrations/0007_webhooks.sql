-- Events that wait for a receiver of webhooks, and those that it never took.
CREATE TABLE webhook_outbox (
    id         BLOB PRIMARY KEY NOT NULL,
    receiver   TEXT NOT NULL,
    event      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    body_json  TEXT NOT NULL,
    state      TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'failed')),
    attempts   INTEGER NOT NULL DEFAULT 0,
    error      TEXT,
    created_ms INTEGER NOT NULL,
    next_ms    INTEGER NOT NULL,
    UNIQUE (receiver, event)
) STRICT;
CREATE INDEX webhook_outbox_due ON webhook_outbox (receiver, state, next_ms);

-- The last event up to which the outbox was filled.
CREATE TABLE webhook_place (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    event TEXT NOT NULL
) STRICT;
