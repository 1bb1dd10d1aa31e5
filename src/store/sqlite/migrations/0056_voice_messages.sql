-- Recordings that callers left: each is a file of the message of the same id. file is the name of the PBX's file, which is one recording;
-- published: its event went out.
CREATE TABLE voice_messages (
    message_id  BLOB PRIMARY KEY NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    pbx         TEXT NOT NULL,
    file        TEXT NOT NULL,
    account_id  BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    call_id     BLOB,
    ms          INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    recorded_ms INTEGER NOT NULL,
    published   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX voice_messages_by_file ON voice_messages (pbx, file);
CREATE INDEX voice_messages_by_account ON voice_messages (account_id);
CREATE INDEX voice_messages_unpublished ON voice_messages (pbx, recorded_ms) WHERE published = 0;
