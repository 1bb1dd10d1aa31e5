-- Events that wait for a receiver of webhooks, and those that it never took.
CREATE TABLE webhook_outbox (
    id         UUID PRIMARY KEY NOT NULL,
    receiver   TEXT NOT NULL,
    event      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    body_json  TEXT NOT NULL,
    state      TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'failed')),
    attempts   BIGINT NOT NULL DEFAULT 0,
    error      TEXT,
    created_ms BIGINT NOT NULL,
    next_ms    BIGINT NOT NULL,
    UNIQUE (receiver, event)
);
CREATE INDEX webhook_outbox_due ON webhook_outbox (receiver, state, next_ms);

-- The last event up to which the outbox was filled.
CREATE TABLE webhook_place (
    one   BIGINT PRIMARY KEY CHECK (one = 1),
    event TEXT NOT NULL
);
