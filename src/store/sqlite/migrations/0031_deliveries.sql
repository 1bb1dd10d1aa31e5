-- What a message shows of its deliveries (src/delivery/summary.rs).
ALTER TABLE messages ADD COLUMN delivery_state TEXT NOT NULL DEFAULT 'none';
ALTER TABLE messages ADD COLUMN delivery_reason TEXT;
ALTER TABLE messages ADD COLUMN delivery_error TEXT;
ALTER TABLE messages ADD COLUMN delivery_next_ms INTEGER;

-- One revision of a message to one recipient over one channel: its states are in src/delivery/machine.rs. While a daemon sends it,
-- leased_by is that daemon's claim, which holds until lease_ms. rendered are the bytes that every attempt sends; they are
-- dropped with the last attempt.
CREATE TABLE deliveries (
    id         BLOB PRIMARY KEY NOT NULL,
    message_id BLOB NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    revision   INTEGER NOT NULL,
    account_id BLOB NOT NULL,
    contact_id BLOB,
    channel    TEXT NOT NULL CHECK (channel IN ('mail')),
    server     TEXT NOT NULL,
    address    TEXT NOT NULL,
    urgency    INTEGER NOT NULL DEFAULT 1,
    state      TEXT NOT NULL CHECK (state IN
        ('held', 'queued', 'sending', 'sent', 'delivered', 'bounced', 'failed', 'cancelled')),
    attempts   INTEGER NOT NULL DEFAULT 0,
    maybe_sent INTEGER NOT NULL DEFAULT 0,
    again      INTEGER NOT NULL DEFAULT 0,
    next_ms    INTEGER NOT NULL,
    give_up_ms INTEGER NOT NULL,
    leased_by  BLOB,
    lease_ms   INTEGER,
    rendered   BLOB,
    error      TEXT,
    status     TEXT,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;
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
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery_id BLOB NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    at_ms       INTEGER NOT NULL,
    state       TEXT NOT NULL,
    detail      TEXT
) STRICT;
CREATE INDEX delivery_log_by_delivery ON delivery_log (delivery_id);
CREATE INDEX delivery_log_by_time ON delivery_log (at_ms);

-- The servers that daemons send over. One that refuses everybody is paused (src/delivery/pause.rs).
CREATE TABLE mail_servers (
    name            TEXT PRIMARY KEY NOT NULL,
    paused_since_ms INTEGER,
    paused_until_ms INTEGER,
    why             TEXT
) STRICT;
