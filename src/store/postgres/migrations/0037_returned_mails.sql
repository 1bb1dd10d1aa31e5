-- Mails that came back, and refusals of the mail server: src/contract/bounce.rs. A fingerprint lets each be counted once.
CREATE TABLE bounces (
    id          UUID PRIMARY KEY NOT NULL,
    at_ms       BIGINT NOT NULL,
    delivery_id UUID REFERENCES deliveries (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL,
    class       TEXT,
    status      TEXT,
    recipient   TEXT,
    text        TEXT NOT NULL,
    source      TEXT NOT NULL,
    fingerprint BYTEA NOT NULL UNIQUE
);
CREATE INDEX bounces_by_time ON bounces (at_ms, id);
CREATE INDEX bounces_by_delivery ON bounces (delivery_id);
CREATE INDEX bounces_unmatched ON bounces (at_ms, id) WHERE delivery_id IS NULL;
CREATE INDEX bounces_full ON bounces (at_ms) WHERE class = 'full';

-- What an account wrote instead of a built-in template of its mails: src/messages/letter/template.rs.
CREATE TABLE mail_templates (
    account_id UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    body       TEXT NOT NULL,
    by_name    TEXT NOT NULL,
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);

-- Reports name a recipient.
CREATE INDEX deliveries_by_address ON deliveries (address, created_ms) WHERE address <> '';

-- The latest first.
CREATE INDEX suspended_addresses_by_time ON suspended_addresses (since_ms DESC, address);
