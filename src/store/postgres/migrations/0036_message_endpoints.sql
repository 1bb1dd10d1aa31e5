-- Where messages of an account go besides its contacts' own addresses: src/contract/records/message_endpoint.rs.
CREATE TABLE message_endpoints (
    id         UUID PRIMARY KEY NOT NULL,
    account_id UUID NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    contact_id UUID REFERENCES contacts (id) ON DELETE CASCADE,
    code       TEXT,
    kind       TEXT NOT NULL,
    address    TEXT NOT NULL,
    label      TEXT NOT NULL DEFAULT '',
    priority   BIGINT NOT NULL DEFAULT 1,
    charset    TEXT NOT NULL DEFAULT 'auto',
    html       BOOLEAN NOT NULL DEFAULT true,
    hours_json TEXT,
    outside    TEXT NOT NULL DEFAULT 'hold',
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX message_endpoints_by_code ON message_endpoints (account_id, code) WHERE code IS NOT NULL;
CREATE INDEX message_endpoints_by_account ON message_endpoints (account_id, id);
CREATE INDEX message_endpoints_by_contact ON message_endpoints (contact_id);

-- Addresses to which nothing is sent, since a recipient's system said that they are gone.
CREATE TABLE suspended_addresses (
    channel  TEXT NOT NULL,
    address  TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    why      TEXT NOT NULL,
    PRIMARY KEY (channel, address)
);

-- The endpoint to which a delivery goes; absent: a contact's own address.
ALTER TABLE deliveries ADD COLUMN endpoint_id UUID;
