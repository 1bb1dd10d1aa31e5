-- Links in mails under which a person of the account answers (src/gateway/public). The token itself is in the mail alone.
CREATE TABLE ack_links (
    hash        BYTEA PRIMARY KEY NOT NULL,
    delivery_id UUID NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    expires_ms  BIGINT NOT NULL,
    opened      BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX ack_links_by_delivery ON ack_links (delivery_id);
CREATE INDEX ack_links_by_end ON ack_links (expires_ms);

-- Answers of the account's people, append only.
CREATE TABLE message_answers (
    id          UUID PRIMARY KEY NOT NULL,
    message_id  UUID NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    revision    BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    by_name     TEXT NOT NULL,
    contact_id  UUID,
    via         TEXT NOT NULL,
    delivery_id UUID,
    note        TEXT,
    at_ms       BIGINT NOT NULL
);
CREATE INDEX message_answers_by_message ON message_answers (message_id, at_ms, id);
