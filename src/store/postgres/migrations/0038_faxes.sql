-- Faxes that the PBX received. file is the name of the PBX's file, which is one fax; published: its event went out.
CREATE TABLE faxes (
    id          UUID PRIMARY KEY NOT NULL,
    pbx         TEXT NOT NULL,
    file        TEXT NOT NULL,
    account_id  UUID REFERENCES accounts (id) ON DELETE CASCADE,
    call_id     UUID,
    dialled     TEXT,
    caller_key  TEXT,
    station     TEXT,
    state       TEXT NOT NULL,
    mode        TEXT NOT NULL,
    pages       BIGINT NOT NULL,
    bytes       BIGINT NOT NULL,
    received_ms BIGINT NOT NULL,
    published   BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX faxes_by_file ON faxes (pbx, file);
CREATE INDEX faxes_by_time ON faxes (received_ms, id);
CREATE INDEX faxes_by_account ON faxes (account_id, received_ms, id) WHERE account_id IS NOT NULL;
CREATE INDEX faxes_by_state ON faxes (state, received_ms, id);
CREATE INDEX faxes_by_call ON faxes (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX faxes_by_caller ON faxes (account_id, caller_key) WHERE caller_key IS NOT NULL;
CREATE INDEX faxes_identified ON faxes (received_ms) WHERE caller_key IS NOT NULL OR station IS NOT NULL;
CREATE INDEX faxes_unpublished ON faxes (pbx, received_ms) WHERE published = 0;

-- The documents (PDF), apart so that a list does not read them.
CREATE TABLE fax_documents (
    fax_id  UUID PRIMARY KEY NOT NULL REFERENCES faxes (id) ON DELETE CASCADE,
    content BYTEA NOT NULL
);
