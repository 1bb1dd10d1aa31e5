-- What a message shows of its deliveries (src/delivery/summary.rs).
ALTER TABLE messages ADD COLUMN delivery_state TEXT NOT NULL DEFAULT 'none';
ALTER TABLE messages ADD COLUMN delivery_reason TEXT;
ALTER TABLE messages ADD COLUMN delivery_error TEXT;
ALTER TABLE messages ADD COLUMN delivery_next_ms BIGINT;

-- One revision of a message to one recipient over one channel: its states are in src/delivery/machine.rs. While a daemon sends it,
-- leased_by is that daemon's claim, which holds until lease_ms. rendered are the bytes that every attempt sends; they are
-- dropped with the last attempt.
CREATE TABLE deliveries (
    id         UUID PRIMARY KEY NOT NULL,
    message_id UUID NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    revision   BIGINT NOT NULL,
    account_id UUID NOT NULL,
    contact_id UUID,
    channel    TEXT NOT NULL CHECK (channel IN ('mail')),
    server     TEXT NOT NULL,
    address    TEXT NOT NULL,
    urgency    BIGINT NOT NULL DEFAULT 1,
    state      TEXT NOT NULL CHECK (state IN
        ('held', 'queued', 'sending', 'sent', 'delivered', 'bounced', 'failed', 'cancelled')),
    attempts   BIGINT NOT NULL DEFAULT 0,
    maybe_sent BIGINT NOT NULL DEFAULT 0,
    again      BIGINT NOT NULL DEFAULT 0,
    next_ms    BIGINT NOT NULL,
    give_up_ms BIGINT NOT NULL,
    leased_by  UUID,
    lease_ms   BIGINT,
    rendered   BYTEA,
    error      TEXT,
    status     TEXT,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX deliveries_once ON deliveries (message_id, channel, address, revision, again)
    WHERE address <> '';
CREATE INDEX deliveries_by_message ON deliveries (message_id);
CREATE INDEX deliveries_due ON deliveries (server, urgency, next_ms, id, account_id) WHERE state = 'queued';
CREATE INDEX deliveries_leased ON deliveries (lease_ms) WHERE state = 'sending';
CREATE INDEX deliveries_given_up ON deliveries (give_up_ms) WHERE state IN ('held', 'queued');
CREATE INDEX deliveries_by_state ON deliveries (state, created_ms, id);
CREATE INDEX deliveries_by_time ON deliveries (created_ms, id);
CREATE INDEX deliveries_with_address ON deliveries (created_ms) WHERE address <> '';

-- What happened to a delivery, with the words of the server.
CREATE TABLE delivery_log (
    position    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id UUID NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    at_ms       BIGINT NOT NULL,
    state       TEXT NOT NULL,
    detail      TEXT
);
CREATE INDEX delivery_log_by_delivery ON delivery_log (delivery_id);
CREATE INDEX delivery_log_by_time ON delivery_log (at_ms);

-- The servers that daemons send over. One that refuses everybody is paused (src/delivery/pause.rs).
CREATE TABLE mail_servers (
    name            TEXT PRIMARY KEY NOT NULL,
    paused_since_ms BIGINT,
    paused_until_ms BIGINT,
    why             TEXT
);
